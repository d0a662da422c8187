//! Messages between application and owner, over links that drop.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::Duration;

use bulkhead_cloud_api::{
    DeliveryState, DeviceCommand, Message, MessageDirection, MessageState, NewWebhook, SendMessage, Timestamp,
};
use bulkhead_cloud_client::{ClientError, MessageQuery};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::receiver::Receiver;
use bulkhead_end_to_end::waiting::{Seen, until};

const SOON: Duration = Duration::from_secs(60);

/// A device that runs the courier.
fn courier() -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("courier").unwrap();
    let bundle = fleet.push("courier-c", "courier", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

fn messages(fleet: &Fleet, direction: MessageDirection) -> Vec<Message> {
    let query = MessageQuery { direction: Some(direction), count: 500, ..MessageQuery::default() };
    fleet.api.messages(&query).unwrap()
}

/// Waits until as many messages of a direction are in `state`.
fn wait_for(
    fleet: &Fleet,
    device: &Device,
    direction: MessageDirection,
    state: MessageState,
    count: usize,
) -> Vec<Message> {
    until(&format!("{count} messages to be {}", state.as_str()), SOON, || {
        let mut found = messages(fleet, direction);
        found.retain(|message| message.state == state);
        if found.len() >= count {
            return Ok(Seen::Answer(found));
        }
        Ok(Seen::NotYet(format!("{} are; console:\n{}", found.len(), device.application_console())))
    })
    .unwrap()
}

fn wait_said(device: &Device, text: &str) -> String {
    until(&format!("the application to say `{text}`"), SOON, || {
        let said = device.application_console();
        Ok(if said.contains(text) { Seen::Answer(said) } else { Seen::NotYet(said) })
    })
    .unwrap()
}

fn send(fleet: &Fleet, device: &Device, text: &str) -> Message {
    let message = SendMessage { topic: 5, text: Some(text.to_owned()), ..SendMessage::default() };
    fleet.api.send_message(&device.id, &message, None).unwrap()
}

#[test]
fn a_message_goes_both_ways_and_its_owner_sees_how_far_it_is() {
    let (fleet, device) = courier();
    let mut listening = fleet.tool.follow(&["message", "listen", &device.id]).unwrap();
    // What came before it listened is `message ls`'s to tell.
    listening
        .wait_for("it to listen", SOON, |line| line.contains("listening for messages").then_some(()))
        .unwrap();
    device.type_to_application('m').unwrap();
    let line = listening
        .wait_for("a message", SOON, |line| line.contains("hello 1").then(|| line.to_owned()))
        .unwrap();
    assert!(line.contains("topic 1"), "{line}");
    wait_said(&device, "stored up to 1");

    let told = fleet.tool.run(&["message", "send", &device.id, "good morning", "--topic", "5"]).unwrap();
    assert!(told.contains("is queued"), "{told}");
    let delivered = wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Delivered, 1);
    assert_eq!((delivered[0].text.as_deref(), delivered[0].attempts), (Some("good morning"), 1));
    assert!(delivered[0].sent_at <= delivered[0].settled_at && delivered[0].settled_at.is_some());
    wait_said(&device, "got topic 5 length 12: good morning");
    let answers = wait_for(&fleet, &device, MessageDirection::FromDevice, MessageState::Received, 2);
    assert_eq!((answers[1].topic, answers[1].text.as_deref()), (6, Some("good morning")));

    fleet.tool.run(&["message", "send", &device.id, "no", "--topic", "9"]).unwrap();
    wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Refused, 1);
    let listed = fleet.tool.run(&["message", "ls", &device.id]).unwrap();
    assert!(
        listed.contains("delivered") && listed.contains("refused") && listed.contains("received"),
        "{listed}"
    );

    let before = device.application_console().len();
    device.type_to_application('z').unwrap();
    let slept = device.answer(before, "slept ").unwrap();
    let ms = slept.strip_prefix("slept with status 0 wake 0 ms ").and_then(|ms| ms.parse::<u32>().ok());
    // How much longer is a matter of who else uses this machine.
    assert!(ms.is_some_and(|ms| ms >= 500), "{slept}");
    device.type_to_application('l').unwrap();
    wait_said(&device, "limits: abi 4, message 960, keys 24, value 512");
    device.type_to_application('d').unwrap();
    wait_said(&device, "debug state 0 halts 0 held ms 0");
}

#[test]
fn what_waits_survives_a_link_that_drops_and_nothing_comes_twice() {
    let (mut fleet, device) = courier();
    device.type_to_application('h').unwrap();
    wait_said(&device, "holding 1");
    let first = send(&fleet, &device, "before the drop");
    wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Sent, 1);
    let went = Timestamp::now();
    fleet.restart_server().unwrap();
    // Both ways, while there is no link.
    device.type_to_application('b').unwrap();
    wait_said(&device, "burst of 16");
    let second = send(&fleet, &device, "after the drop");
    fleet
        .wait(&device, "a new link", Duration::from_secs(90), |seen| {
            seen.link.as_ref().is_some_and(|link| link.since > went)
        })
        .unwrap();
    let stored = wait_for(&fleet, &device, MessageDirection::FromDevice, MessageState::Received, 16);
    let numbers: Vec<u32> = stored.iter().map(|message| message.number).collect();
    assert_eq!(numbers, (1..17).collect::<Vec<_>>(), "each once, in order");
    let sent = wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Sent, 2);
    assert_eq!((sent[0].id, sent[0].attempts, sent[1].id, sent[1].attempts), (first.id, 2, second.id, 1));
    device.type_to_application('q').unwrap();
    wait_said(&device, "incoming 2");
    device.type_to_application('h').unwrap();
    wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Delivered, 2);
    let said = device.application_console();
    assert_eq!(said.matches("before the drop").count(), 1, "{said}");
    assert_eq!(said.matches("after the drop").count(), 1, "{said}");
}

#[test]
fn a_message_for_a_device_without_power_waits_or_expires() {
    let (fleet, mut device) = courier();
    fleet.cut_power(&mut device).unwrap();
    let kept = send(&fleet, &device, "wait for me");
    let short =
        SendMessage { text: Some("too late".into()), expires_in_s: Some(1), ..SendMessage::default() };
    let key = Some("order-7");
    let one = fleet.api.send_message(&device.id, &short, key).unwrap();
    let same = fleet.api.send_message(&device.id, &short, key).unwrap();
    assert_eq!((one.id, one.number > kept.number), (same.id, true), "the same key is the same message");
    let other = SendMessage { text: Some("something else".into()), ..SendMessage::default() };
    let refused = fleet.api.send_message(&device.id, &other, key).unwrap_err();
    assert!(
        matches!(&refused, ClientError::Problem(problem) if problem.code.as_str() == "idempotency-mismatch"),
        "{refused}"
    );
    let expired = wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Expired, 1);
    assert_eq!(expired[0].id, one.id);
    fleet.power_on(&mut device).unwrap();
    wait_for(&fleet, &device, MessageDirection::ToDevice, MessageState::Delivered, 1);
    let said = wait_said(&device, "wait for me");
    assert!(!said.contains("too late"), "{said}");
}

#[test]
fn a_webhook_gets_each_message_signed_and_is_tried_again_when_it_fails() {
    let (fleet, device) = courier();
    let receiver = Receiver::start(2).unwrap();
    let made = fleet.api.create_webhook(&NewWebhook { url: receiver.url.clone() }).unwrap();
    device.type_to_application('m').unwrap();
    let deliveries = until("the delivery", SOON, || {
        let deliveries = fleet.api.deliveries(made.webhook.id, 10).unwrap();
        let done = deliveries.first().is_some_and(|delivery| delivery.state == DeliveryState::Delivered);
        Ok(if done { Seen::Answer(deliveries) } else { Seen::NotYet(format!("{deliveries:?}")) })
    })
    .unwrap();
    assert_eq!((deliveries.len(), deliveries[0].attempts, deliveries[0].last_status), (1, 3, Some(204)));
    let posts = receiver.posts();
    assert_eq!(posts.iter().filter(|post| post.refused).count(), 2);
    let last = posts.last().unwrap();
    assert_eq!(last.post.message.text.as_deref(), Some("hello 1"));
    assert!(posts.iter().all(|post| post.post.delivery_id == last.post.delivery_id), "known by its number");
    assert!(posts.iter().all(|post| post.is_signed_with(&made.secret)));
    assert!(!last.is_signed_with("whs_another"), "the check can fail");
    fleet.tool.run(&["webhook", "rm", &made.webhook.id.to_string()]).unwrap();
    assert!(fleet.api.webhooks().unwrap().is_empty());
}

#[test]
fn a_message_of_no_size_or_too_much_is_refused_with_a_next_step() {
    let fleet = Fleet::start().unwrap();
    let device = fleet.new_device("silent").unwrap();
    let long = "x".repeat(961);
    let cases: &[(&[&str], &str)] = &[
        (&["message", "send", &device.id, &long], "split what is longer"),
        (&["message", "send", &device.id, ""], "send 1 to 960 bytes"),
        (&["message", "send", &device.id, "x", "--expires-in", "0"], "give 1 to"),
        (&["message", "send", "nobody", "x"], "bulkhead device ls"),
        (&["webhook", "new", "ftp://example.org"], "http or https"),
        (&["webhook", "deliveries", "7"], "webhook ls"),
    ];
    for (arguments, word) in cases {
        let refusal = fleet.tool.refused(arguments).unwrap();
        assert!(refusal.text.contains(word), "{arguments:?}: {}", refusal.text);
    }
    for n in 0..100 {
        send(&fleet, &device, &format!("message {n}"));
    }
    let full = fleet.tool.refused(&["message", "send", &device.id, "one more"]).unwrap();
    assert!(full.text.contains("wait until it has taken some"), "{}", full.text);
}

#[test]
fn a_commanded_restart_of_the_device_is_not_reported_as_power_on() {
    let (fleet, device) = courier();
    wait_said(&device, "boot reason 0 wake reason");
    let since = fleet.look(&device).unwrap().link.map(|link| link.since).unwrap();
    fleet.api.command(&device.id, DeviceCommand::RestartDevice).unwrap();
    let seen = fleet.wait_online(&device, since).unwrap();
    assert_eq!(seen.reported.unwrap().boot_reason, bulkhead_cloud_api::BootReason::Commanded);
    wait_said(&device, "courier starts, boot reason 2 wake reason 6");
}
