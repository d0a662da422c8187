//! What the tool says of an order to a device, by how the device answers and by where its update stands.

use bulkhead_link_protocol::{CommandDone, DeviceMessage, UpdateStage};

use crate::harness::{FakeDevice, Said, TestServer};
use crate::tool::{Ended, Tool};

const APPLY: [&str; 2] = ["update", "apply"];

/// Gives an order while the device plays along.
fn order(tool: &Tool, device: &mut FakeDevice, order: [&str; 2], accepted: bool) -> Ended {
    std::thread::scope(|scope| {
        let ordering = scope.spawn(|| tool.run(&[order[0], order[1], "pump"]));
        let said = device.expect("the order", |said| matches!(said, Said::Command(_)));
        if let Said::Command(command) = said {
            device.send(&DeviceMessage::CommandDone(CommandDone { id: command.id, accepted }));
        }
        ordering.join().expect("ends")
    })
}

#[test]
fn apply_says_whether_it_happens_now_or_later_or_why_it_does_not() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    tool.run(&["key", "generate"]).ok();
    let id = server.own(1);
    tool.run(&["device", "rename", &id, "pump"]).ok();
    let mut device = server.connect(1);
    let declined = |device: &mut FakeDevice, why: &str| {
        let ended = order(&tool, device, APPLY, false);
        assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
        assert!(ended.err.contains(why), "{}", ended.err);
    };
    declined(&mut device, "nothing to apply: no update is under way");

    tool.run(&["deploy", "-d", "pump", &tool.bundle("1.0.0", "1"), "--no-wait"]).ok();
    let manifest = device.offer().manifest;
    declined(&mut device, "has not taken the update up yet");
    let updates = format!("/api/v1/devices/{id}/updates");
    let reach = |device: &mut FakeDevice, stage: UpdateStage, name: &'static str| {
        device.progress(manifest, stage, 1, None);
        server.wait_for(name, &updates, |page| page["items"][0]["stage"] == name);
    };
    reach(&mut device, UpdateStage::Staging, "staging");
    let later = order(&tool, &mut device, APPLY, true).ok();
    assert!(later.contains("not staged yet; it is applied as soon as it is"), "{later}");
    reach(&mut device, UpdateStage::Ready, "ready");
    assert_eq!(order(&tool, &mut device, APPLY, true).ok().trim(), "done");
    reach(&mut device, UpdateStage::Trial, "trial");
    declined(&mut device, "the new version runs already, on trial");
    reach(&mut device, UpdateStage::Reverting, "reverting");
    declined(&mut device, "the old version is being put back");
    reach(&mut device, UpdateStage::Reverted, "reverted");
    declined(&mut device, "nothing to apply: no update is under way");
}

#[test]
fn what_a_device_declines_is_told_with_the_reason() {
    let server = TestServer::start();
    let tool = Tool::logged_in(&server);
    let id = server.own(1);
    tool.run(&["device", "rename", &id, "pump"]).ok();
    let mut device = server.connect(1);
    for (given, why) in [
        (["update", "revert"], "no new version is on trial"),
        (["update", "cancel"], "nothing to cancel"),
        (["device", "restart"], "it has no application"),
        (["device", "stop"], "it has no application"),
        (["crash", "take"], "nothing runs that a debug key may look into"),
    ] {
        let ended = order(&tool, &mut device, given, false);
        assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{given:?}: {ended:?}");
        assert!(ended.err.contains(why), "{given:?}: {}", ended.err);
    }
}
