//! Crash dumps on their way to the server: resumed, kept once, listed, bounded, and told apart from rubbish.

use bulkhead_crash_dump::{BLOCK_LEN, FIXED_LEN, Header, header_len, key_name};
use bulkhead_link_protocol::{
    CRASH_PIECE_LEN_MAX, CrashDone, CrashOffer, CrashPiece, CrashWanted, DeviceMessage,
};
use serde_json::Value;

use crate::harness::*;

const RECIPIENT: [u8; 32] = [0xAB; 32];

/// A dump of device number `device`; its blocks are sealed, and therefore as good as any bytes.
fn dump(id: &str, name: u8, blocks: usize) -> Vec<u8> {
    let header = Header {
        device: bulkhead_cloud_api::from_hex(&id[2..]).expect("an id"),
        manifest: [0x11; 32],
        id: [name; 16],
        reason: 0,
        recipients: 1,
        program_counter: 0x8000_0124,
        uptime_us: 5_000_000,
        wall_us: 1_790_000_000_000_000,
        sequence: 3,
        fault_count: 1,
    };
    let mut dump = header.encode().to_vec();
    dump.extend(key_name(&RECIPIENT));
    dump.resize(header_len(1), 0xEE);
    dump.extend((0..blocks * BLOCK_LEN).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]));
    dump
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("small")
}

/// Offers a dump; returns from where the server wants it, or how it is done with it.
fn offer(device: &mut FakeDevice, name: u8, len: u32) -> Result<CrashWanted, CrashDone> {
    device.send(&DeviceMessage::CrashOffer(CrashOffer { crash: [name; 16], len }));
    answer(device)
}

fn answer(device: &mut FakeDevice) -> Result<CrashWanted, CrashDone> {
    match device.expect("answer", |said| matches!(said, Said::CrashWanted(_) | Said::CrashDone(_))) {
        Said::CrashWanted(wanted) => Ok(wanted),
        Said::CrashDone(done) => Err(done),
        other => unreachable!("{other:?}"),
    }
}

/// Sends `count` pieces of `dump` from `offset` on; returns where they end.
fn send(device: &mut FakeDevice, name: u8, dump: &[u8], offset: u32, count: usize) -> u32 {
    let start = usize::try_from(offset).expect("small");
    let mut at = offset;
    for piece in dump[start..].chunks(CRASH_PIECE_LEN_MAX).take(count) {
        device.send(&DeviceMessage::CrashPiece(CrashPiece {
            crash: [name; 16],
            offset: at,
            bytes: piece.into(),
        }));
        at += len(piece);
    }
    at
}

fn kept(device: &mut FakeDevice, name: u8) -> bool {
    let done = answer(device).expect_err("the server is done with it");
    assert_eq!(done.crash, [name; 16]);
    done.kept
}

#[test]
fn an_upload_that_broke_goes_on_with_the_piece_that_was_lost() {
    let mut server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let dump = dump(&id, 7, 6);
    assert_eq!(offer(&mut device, 7, len(&dump)).expect("wanted").offset, 0);
    let sent = send(&mut device, 7, &dump, 0, 3);
    drop(device);
    // Not before the old link has read what was on its way.
    server.wait_for("end of the link", &format!("/api/v1/devices/{id}"), |seen| seen["online"] == false);
    let mut device = server.connect(1);
    assert_eq!(offer(&mut device, 7, len(&dump)).expect("wanted").offset, sent, "nothing is sent twice");
    let sent = send(&mut device, 7, &dump, sent, 2);
    drop(device);
    server.wait_for("end of the link", &format!("/api/v1/devices/{id}"), |seen| seen["online"] == false);
    // Nor does a server forget that restarts.
    server.restart();
    let mut device = server.connect(1);
    assert_eq!(offer(&mut device, 7, len(&dump)).expect("wanted").offset, sent);
    assert_eq!(server.get("/api/v1/crashes")["items"], Value::Array(vec![]), "not before it is whole");
    send(&mut device, 7, &dump, sent, usize::MAX);
    assert!(kept(&mut device, 7));

    let listed = server.get(&format!("/api/v1/crashes?device={id}"));
    let crash = &listed["items"][0];
    assert_eq!((&crash["device_id"], &crash["fault"]), (&Value::from(id.as_str()), &"secure-access".into()));
    assert_eq!(
        (&crash["size_bytes"], &crash["program_counter"]),
        (&len(&dump).into(), &0x8000_0124_u32.into())
    );
    let names = bulkhead_cloud_api::to_hex(&key_name(&RECIPIENT));
    assert_eq!(crash["key_names"], Value::Array(vec![names.into()]));
    let number = crash["id"].as_i64().expect("a number");
    let path = format!("/api/v1/crashes/{number}/dump");
    assert_eq!(server.ask("GET", &path, Value::Null).bytes, dump);
    // Whoever may only look does not get the bytes, sealed as they are.
    let viewer = server.token("viewer");
    assert_eq!(server.ask_as(Some(&viewer), "GET", &path, Vec::new()).code(), "forbidden");
    assert_eq!(
        server.ask_as(Some(&viewer), "GET", &format!("/api/v1/crashes/{number}"), Vec::new()).status,
        200
    );
    assert_eq!(server.ask("GET", "/api/v1/crashes/999", Value::Null).code(), "crash-not-found");
    // Offered again, because the device lost the answer, it is kept already.
    assert!(offer(&mut device, 7, len(&dump)).expect_err("done").kept);
    assert_eq!(server.get("/api/v1/crashes")["items"].as_array().expect("a list").len(), 1);
}

#[test]
fn a_dump_whose_clock_is_absurd_is_listed_without_its_time() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let year_10000 = 253_402_300_800_000_000;
    let times = [i64::MAX.cast_unsigned(), u64::MAX, year_10000, year_10000 - 1];
    for (name, wall_us) in (1..).zip(times) {
        let mut dump = dump(&id, name, 1);
        let mut header = Header::parse(&dump).expect("a header");
        header.wall_us = wall_us;
        dump[..FIXED_LEN].copy_from_slice(&header.encode());
        offer(&mut device, name, len(&dump)).expect("wanted");
        send(&mut device, name, &dump, 0, usize::MAX);
        assert!(kept(&mut device, name));
    }
    let listed = server.get("/api/v1/crashes");
    let times: Vec<_> =
        listed["items"].as_array().expect("a list").iter().map(|c| &c["happened_at"]).collect();
    assert_eq!(
        times,
        [&Value::from("9999-12-31T23:59:59.999999Z"), &Value::Null, &Value::Null, &Value::Null]
    );
}

#[test]
fn a_new_dump_is_an_event() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let mut events = server.stream("/api/v1/events/stream", None);
    let dump = dump(&id, 7, 2);
    offer(&mut device, 7, len(&dump)).expect("wanted");
    send(&mut device, 7, &dump, 0, usize::MAX);
    assert!(kept(&mut device, 7));
    let event =
        std::iter::from_fn(|| events.next()).find(|event| event["kind"] == "crash").expect("an event");
    assert_eq!(event["data"]["program_counter"], 0x8000_0124_u32);
}

#[test]
fn what_is_no_dump_of_this_device_is_taken_and_forgotten() {
    let server = TestServer::start();
    let (id, other) = (server.own(1), server.own(2));
    let mut device = server.connect(1);
    let mut wrong_version = dump(&id, 1, 1);
    wrong_version[7] = b'9';
    let mut no_block = dump(&id, 3, 1);
    no_block.truncate(no_block.len() - 1);
    let rubbish = [
        (1, wrong_version),
        (2, dump(&other, 2, 1)),
        (3, no_block),
        (4, dump(&id, 5, 1)),
        (6, vec![0; FIXED_LEN]),
    ];
    for (name, bytes) in rubbish {
        offer(&mut device, name, len(&bytes)).expect("wanted");
        send(&mut device, name, &bytes, 0, usize::MAX);
        assert!(kept(&mut device, name), "the device is not to offer it again: {name}");
    }
    assert_eq!(server.get("/api/v1/crashes")["items"], Value::Array(vec![]));
}

#[test]
fn pieces_out_of_order_end_the_link_and_nothing_is_kept() {
    let server = TestServer::start();
    let id = server.own(1);
    let dump = dump(&id, 7, 3);
    for at in [960, 2000] {
        let mut device = server.connect(1);
        offer(&mut device, 7, len(&dump)).expect("wanted");
        let bytes = (&dump[..960]).into();
        device.send(&DeviceMessage::CrashPiece(CrashPiece { crash: [7; 16], offset: at, bytes }));
        device.wait_for_end();
    }
    let mut device = server.connect(1);
    device.send(&DeviceMessage::CrashOffer(CrashOffer { crash: [8; 16], len: u32::MAX }));
    device.wait_for_end();
}

#[test]
fn a_device_that_offers_without_end_is_told_to_stop() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let mut refused = 0;
    for name in 0..70 {
        let dump = dump(&id, name, 1);
        match offer(&mut device, name, len(&dump)) {
            Ok(_) => {
                send(&mut device, name, &dump, 0, usize::MAX);
                assert!(kept(&mut device, name));
            }
            Err(done) => {
                assert!(!done.kept, "it has not seen it");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 70 - 64);
}
