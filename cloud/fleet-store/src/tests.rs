use std::path::PathBuf;

use bulkhead_cloud_api::*;

use super::*;

mod pruning;

/// A store in a directory of its own, removed at the end.
struct Scratch {
    directory: PathBuf,
    store: Store,
}

impl Scratch {
    async fn new() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("randomness");
        let directory = std::env::temp_dir().join(format!("bulkhead-fleet-store-{}", to_hex(&random)));
        std::fs::create_dir(&directory).expect("scratch directory");
        let store = Store::open(&directory.join("fleet.sqlite")).await.expect("opens");
        Self { directory, store }
    }

    async fn with_device() -> Self {
        let scratch = Self::new().await;
        assert!(
            scratch.store.register_device(&device(1, Some("pump")), Timestamp(1)).await.expect("registers")
        );
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const TOKEN: [u8; 16] = [7; 16];

fn device(number: u8, name: Option<&str>) -> NewDevice {
    use sha2::Digest as _;
    NewDevice {
        id: DeviceId([number; 16]),
        public_key: [number; 32],
        claim_token_sha256: Some(sha2::Sha256::digest(TOKEN).into()),
        name: name.map(str::to_owned),
    }
}

fn target(number: u8) -> NewUpdate {
    NewUpdate {
        device_id: DeviceId([1; 16]),
        manifest: ManifestDigest([number; 32]),
        forced: false,
        account: "ada".into(),
        permit: None,
    }
}

fn report(number: u8, stage: UpdateStage, pages_done: u32) -> ProgressReport {
    ProgressReport {
        manifest: ManifestDigest([number; 32]),
        stage,
        pages_done,
        pages_total: 9,
        reason: (stage == UpdateStage::Refused).then(|| "wrong signature".into()),
        details: UpdateDetails {
            mode: (stage == UpdateStage::Staging).then_some(StagingMode::Redo),
            ..UpdateDetails::default()
        },
        bytes_sent: 0,
    }
}

#[tokio::test]
async fn bytes_sent_add_up_and_details_that_a_later_report_leaves_out_are_kept() {
    let scratch = Scratch::with_device().await;
    let store = scratch.store.clone();
    store.set_target(&target(1), Timestamp(10)).await.expect("sets");
    for (stage, bytes_sent) in [(UpdateStage::Staging, 100), (UpdateStage::Ready, 7)] {
        let told = ProgressReport { bytes_sent, ..report(1, stage, 2) };
        store.record_progress(DeviceId([1; 16]), &told, Timestamp(11), || true).await.expect("records");
    }
    let update = store.latest_update(DeviceId([1; 16])).await.expect("reads").expect("exists");
    assert_eq!((update.bytes_sent, update.details.mode), (107, Some(StagingMode::Redo)));
}

#[tokio::test]
async fn a_patch_is_found_by_what_it_leads_from_and_to_and_by_its_format() {
    let scratch = Scratch::with_device().await;
    let key = |old: u8, format: &str| PatchKey { old: [old; 32], new: [2; 32], format: format.to_owned() };
    let object = ObjectSpan { digest: [3; 32], len: 40 };
    scratch.store.put_patch(&key(1, "1"), object, Timestamp(1)).await.expect("puts");
    assert_eq!(scratch.store.patch(&key(1, "1")).await.expect("reads"), Some(object));
    assert_eq!(scratch.store.patch(&key(1, "2")).await.expect("reads"), None);
    assert_eq!(scratch.store.patch(&key(0, "1")).await.expect("reads"), None);
    let newer = ObjectSpan { digest: [4; 32], len: 30 };
    scratch.store.put_patch(&key(1, "1"), newer, Timestamp(2)).await.expect("puts");
    assert_eq!(scratch.store.patch(&key(1, "1")).await.expect("reads"), Some(newer));
}

#[tokio::test]
async fn device_is_claimed_once_and_only_by_its_token() {
    let scratch = Scratch::with_device().await;
    let id = DeviceId([1; 16]);
    let claim = |token: [u8; 16], account: &'static str| {
        let store = scratch.store.clone();
        async move { store.claim_device(id, &token, account, None, Timestamp(2)).await.expect("answers") }
    };
    assert_eq!(claim([8; 16], "mallory").await, ClaimOutcome::WrongToken);
    assert_eq!(claim(TOKEN, "ada").await, ClaimOutcome::Claimed);
    assert_eq!(claim(TOKEN, "mallory").await, ClaimOutcome::AlreadyClaimed);
    let device = scratch.store.device(id).await.expect("reads").expect("exists");
    assert_eq!(device.claimed_by.as_deref(), Some("ada"));
}

#[tokio::test]
async fn unregistered_device_is_claimed_when_it_shows_the_same_token() {
    let scratch = Scratch::new().await;
    let (store, id, key) = (&scratch.store, DeviceId([3; 16]), [3; 32]);
    assert_eq!(store.admit(id, &key).await.expect("answers"), Admission::Unknown);
    let outcome = store.claim_device(id, &TOKEN, "ada", Some("valve"), Timestamp(1)).await.expect("answers");
    assert_eq!(outcome, ClaimOutcome::WaitsForDevice);
    assert_eq!(store.admit(id, &key).await.expect("answers"), Admission::MayClaim);
    assert_eq!(store.confirm_claim(id, &key, &[9; 16], Timestamp(2)).await.expect("answers"), None);
    assert_eq!(
        store.confirm_claim(id, &key, &TOKEN, Timestamp(3)).await.expect("answers").as_deref(),
        Some("ada")
    );
    assert_eq!(store.admit(id, &key).await.expect("answers"), Admission::Known);
    assert_eq!(store.device_named("valve").await.expect("answers"), Some(id));
}

#[tokio::test]
async fn key_that_only_shares_the_id_is_not_admitted() {
    let scratch = Scratch::with_device().await;
    let id = DeviceId([1; 16]);
    assert_eq!(scratch.store.admit(id, &[1; 32]).await.expect("answers"), Admission::Known);
    assert_eq!(scratch.store.admit(id, &[2; 32]).await.expect("answers"), Admission::Unknown);
    scratch.store.change_device(id, None, Some(true)).await.expect("changes");
    assert_eq!(scratch.store.admit(id, &[1; 32]).await.expect("answers"), Admission::Revoked);
}

#[tokio::test]
async fn names_are_unique() {
    let scratch = Scratch::with_device().await;
    let taken = scratch.store.register_device(&device(2, Some("pump")), Timestamp(1)).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert!(!scratch.store.register_device(&device(1, None), Timestamp(1)).await.expect("answers"));
}

#[tokio::test]
async fn update_remembers_its_stages_and_yields_to_a_newer_target() {
    let scratch = Scratch::with_device().await;
    let (store, id) = (&scratch.store, DeviceId([1; 16]));
    let first = store.set_target(&target(1), Timestamp(10)).await.expect("sets").expect("device");
    assert_eq!(first.stage, UpdateStage::Pending);
    for (at, stage, pages) in
        [(11, UpdateStage::Checking, 0), (12, UpdateStage::Staging, 1), (13, UpdateStage::Staging, 2)]
    {
        store
            .record_progress(id, &report(1, stage, pages), Timestamp(at), || true)
            .await
            .expect("records")
            .expect("news");
    }
    let again = store.record_progress(id, &report(1, UpdateStage::Staging, 2), Timestamp(14), || true).await;
    assert_eq!(again.expect("records"), None, "nothing new is no event");
    store.set_target(&target(2), Timestamp(20)).await.expect("sets");
    let late = store.record_progress(id, &report(1, UpdateStage::Ready, 9), Timestamp(21), || true).await;
    assert_eq!(late.expect("records"), None, "word on an older target changes nothing");
    let updates = store.updates(id, None, 10).await.expect("reads");
    let stages: Vec<_> = updates[1].stages.iter().map(|reached| reached.stage).collect();
    let expected =
        [UpdateStage::Pending, UpdateStage::Checking, UpdateStage::Staging, UpdateStage::Superseded];
    assert_eq!(stages, expected);
    let refused =
        store.record_progress(id, &report(2, UpdateStage::Refused, 0), Timestamp(22), || true).await;
    assert_eq!(refused.expect("records").expect("news").reason.as_deref(), Some("wrong signature"));
}

#[tokio::test]
async fn token_works_until_it_expires_or_is_revoked() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    let new = NewToken {
        account: "ada".into(),
        name: "laptop".into(),
        roles: vec![Role::Viewer],
        expires_in_s: Some(1),
    };
    let made = store.create_token(&new, Timestamp(0)).await.expect("makes");
    let check = |text: String, at: i64| async move {
        store.check_token(&text, Timestamp(at)).await.expect("answers")
    };
    assert_eq!(check(made.secret.clone(), 5).await, Ok(made.token.clone()));
    assert_eq!(check(made.secret.clone(), 1_000_000).await, Err(TokenRejected::Expired));
    for wrong in ["", "bht", "bht_1_2", "x_y_z", &format!("{}0", made.secret), "bht___"] {
        assert_eq!(check(wrong.to_owned(), 5).await, Err(TokenRejected::Unknown), "{wrong}");
    }
    assert!(store.revoke_token(&made.token.id).await.expect("revokes"));
    assert_eq!(check(made.secret, 5).await, Err(TokenRejected::Unknown));
}

#[tokio::test]
async fn logs_are_numbered_stored_and_told_to_followers() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    let mut live = store.subscribe_logs();
    for sequence in 0..700 {
        assert!(store.append_log(NewLog {
            device_id: DeviceId([1; 16]),
            received_at: Timestamp(1),
            source: LogSource::Application,
            level: LogLevel::from_number(u8::try_from(sequence % 5).expect("small")),
            uptime_us: 1,
            sequence,
            lost: 0,
            text: format!("line {sequence}"),
        }));
    }
    store.flush_logs().await;
    let all = store.logs(&LogFilter { limit: 1000, ..LogFilter::default() }).await.expect("reads");
    assert_eq!(all.len(), 700);
    assert_eq!(*live.recv().await.expect("told"), all[0]);
    let grave = LogFilter { limit: 1000, level: Some(LogLevel::Error), ..LogFilter::default() };
    assert_eq!(store.logs(&grave).await.expect("reads").len(), 140);
    let newest = LogFilter { limit: 2, newest: true, ..LogFilter::default() };
    assert_eq!(store.logs(&newest).await.expect("reads"), all[698..]);
    assert_eq!(store.prune(Timestamp(0), 100).await.expect("prunes"), 600);
}

#[tokio::test]
async fn audit_chain_shows_an_entry_that_was_edited() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    for number in 0..3 {
        store
            .append_audit("ada", "t1", "deploy", &number.to_string(), Timestamp(number))
            .await
            .expect("appends");
    }
    assert_eq!(store.verify_audit().await.expect("reads"), Ok(()));
    let edit = "UPDATE audit SET account = 'mallory' WHERE id = 2";
    assert!(sqlx::query(edit).execute(&store.writer).await.is_err(), "a trigger forbids it");
    sqlx::query("DROP TRIGGER audit_is_append_only_update").execute(&store.writer).await.expect("drops");
    sqlx::query(edit).execute(&store.writer).await.expect("edits");
    assert_eq!(store.verify_audit().await.expect("reads"), Err(AuditBroken { id: 2 }));
}

#[tokio::test]
async fn what_a_device_says_of_its_update_is_kept_and_the_estimate_outlives_its_stage() {
    let scratch = Scratch::with_device().await;
    let (store, id) = (&scratch.store, DeviceId([1; 16]));
    let new = NewUpdate {
        device_id: id,
        manifest: ManifestDigest([2; 32]),
        forced: false,
        account: "a".into(),
        permit: None,
    };
    store.set_target(&new, Timestamp(1)).await.expect("sets").expect("is known");
    let details =
        UpdateDetails { downtime_ms: Some(350), apply_at: Some(Timestamp(9)), ..UpdateDetails::default() };
    let ready = ProgressReport { details: details.clone(), ..report(2, UpdateStage::Ready, 9) };
    let update =
        store.record_progress(id, &ready, Timestamp(2), || true).await.expect("records").expect("news");
    assert_eq!(update.details, details);
    assert_eq!(
        store.record_progress(id, &ready, Timestamp(3), || true).await.expect("records"),
        None,
        "no news"
    );
    let later = UpdateDetails { apply_at: Some(Timestamp(10)), ..details.clone() };
    let postponed = ProgressReport { details: later.clone(), ..ready };
    let update =
        store.record_progress(id, &postponed, Timestamp(4), || true).await.expect("records").expect("news");
    assert_eq!((update.details, update.stages.len()), (later, 2), "the same stage");
    let applying = report(2, UpdateStage::Applying, 0);
    store.record_progress(id, &applying, Timestamp(5), || true).await.expect("records").expect("news");
    let kept = store.latest_update(id).await.expect("reads").expect("is there").details;
    assert_eq!(kept, UpdateDetails { downtime_ms: Some(350), ..UpdateDetails::default() });
}

#[tokio::test]
async fn file_of_a_newer_server_is_refused() {
    let scratch = Scratch::new().await;
    sqlx::query("PRAGMA user_version = 99").execute(&scratch.store.writer).await.expect("marks");
    scratch.store.close().await;
    let opened = Store::open(&scratch.directory.join("fleet.sqlite")).await;
    assert!(matches!(opened.err(), Some(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let scratch = Scratch::with_device().await;
    scratch.store.close().await;
    let store = Store::open(&scratch.directory.join("fleet.sqlite")).await.expect("opens again");
    assert_eq!(store.device_named("pump").await.expect("reads"), Some(DeviceId([1; 16])));
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_and_reports_written_at_once_are_all_kept() {
    let scratch = Scratch::with_device().await;
    let mut live = scratch.store.subscribe_events();
    let mut tasks = Vec::new();
    for number in 0..100_u8 {
        let store = scratch.store.clone();
        tasks.push(tokio::spawn(async move {
            let at = Timestamp(i64::from(number));
            store.append_event("device-state", None, serde_json::json!(number), at).await?;
            store.append_audit("ada", "t1", "deploy", "x", at).await?;
            store.set_target(&target(number), at).await?;
            store
                .record_progress(DeviceId([1; 16]), &report(number, UpdateStage::Staging, 1), at, || true)
                .await
        }));
    }
    for task in tasks {
        task.await.expect("runs").expect("written");
    }
    let store = &scratch.store;
    for event in store.events_after(0, None, 500).await.expect("reads") {
        assert_eq!(*live.recv().await.expect("told"), event, "told in the order of their numbers");
    }
    assert_eq!(store.newest_event().await.expect("reads"), 100);
    assert_eq!(store.updates(DeviceId([1; 16]), None, 500).await.expect("reads").len(), 100);
    assert_eq!(store.verify_audit().await.expect("reads"), Ok(()));
}

fn reported(at: i64) -> ReportedState {
    let text = r#"{"hypervisor": "0.1.0", "device_class": "c", "board_revision": 1, "abi": 1, "boot_reason": "power-on",
        "application": "running", "connect_count": 1, "reported_at": "1970-01-01T00:00:00Z"}"#;
    let reported: ReportedState = serde_json::from_str(text).expect("a state");
    ReportedState { reported_at: Timestamp(at), ..reported }
}

#[tokio::test]
async fn what_is_said_on_a_link_that_has_a_newer_one_is_not_written_over_what_that_said() {
    let scratch = Scratch::with_device().await;
    let (store, id) = (&scratch.store, DeviceId([1; 16]));
    store.set_target(&target(1), Timestamp(1)).await.expect("sets");
    assert!(store.record_reported(id, &reported(2), || true).await.expect("records"));
    assert!(!store.record_reported(id, &reported(3), || false).await.expect("answers"));
    let staging = report(1, UpdateStage::Staging, 1);
    assert_eq!(store.record_progress(id, &staging, Timestamp(4), || false).await.expect("answers"), None);
    let device = store.device(id).await.expect("reads").expect("exists");
    assert_eq!(device.reported.map(|reported| reported.reported_at), Some(Timestamp(2)));
    assert_eq!(device.update.map(|update| update.stage), Some(UpdateStage::Pending));
}

fn order(text: &str, expires_at: i64) -> NewMessage {
    NewMessage {
        device_id: DeviceId([1; 16]),
        topic: 0,
        bytes: text.as_bytes().to_vec(),
        account: "ada".into(),
        expires_at: Timestamp(expires_at),
        idempotency_key: None,
    }
}

#[tokio::test]
async fn a_message_that_expired_while_it_was_read_is_not_sent() {
    let scratch = Scratch::with_device().await;
    let (store, id) = (&scratch.store, DeviceId([1; 16]));
    store.queue_message(&order("late", 10), Timestamp(1)).await.expect("queues");
    let (message, _) = store.next_message(id, Timestamp(9)).await.expect("reads").expect("waits");
    assert_eq!(store.expire_messages(Timestamp(10)).await.expect("expires").len(), 1);
    assert!(!store.message_sent(message.id, Timestamp(11)).await.expect("answers"));
    let filter = MessageFilter { limit: 10, ..MessageFilter::default() };
    let listed = store.messages(&filter).await.expect("lists");
    assert_eq!((listed[0].state, listed[0].attempts), (MessageState::Expired, 0));
}

#[tokio::test]
async fn a_crash_that_cannot_be_read_hides_no_other_from_the_list() {
    let scratch = Scratch::new().await;
    let sql = "INSERT INTO crashes (device_id, crash, length, begun_at, document, dump) VALUES (?, ?, 1, 1, ?, x'00')";
    let good = r#"{"id": 1, "device_id": "BD01010101010101010101010101010101", "manifest":
        "0000000000000000000000000000000000000000000000000000000000000000", "bundle": null, "fault": null,
        "program_counter": 0, "uptime_us": 0, "happened_at": null, "received_at": "1970-01-01T00:00:00Z",
        "fault_count": 1, "sequence": 1, "size_bytes": 1, "key_names": []}"#;
    let bad = good.replace(r#""happened_at": null"#, r#""happened_at": "294247-01-10T04:00:54.775807Z""#);
    for (name, document) in [(1, good), (2, bad.as_str()), (3, bad.as_str()), (4, good)] {
        let query = sqlx::query(sql).bind(vec![1_u8; 16]).bind(vec![name; 16]).bind(document);
        query.execute(&scratch.store.writer).await.expect("inserts");
    }
    // A full page of two means that there may be more; a shorter one would end the list.
    assert_eq!(scratch.store.crashes(None, None, 2).await.expect("lists").len(), 2);
    assert_eq!(scratch.store.crashes(None, None, 9).await.expect("lists").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_set_at_once_are_no_more_than_a_device_has_room_for() {
    let scratch = Scratch::with_device().await;
    let mut tasks = Vec::new();
    for n in 0..60 {
        let store = scratch.store.clone();
        let device = (n % 2 == 0).then_some(DeviceId([1; 16]));
        tasks.push(tokio::spawn(async move {
            store.set_config(device, &format!("key-{n}"), Some((b"x", false)), "ada", Timestamp(n)).await
        }));
    }
    let mut changed = 0;
    for task in tasks {
        changed += usize::from(task.await.expect("runs").expect("answers") == ConfigOutcome::Changed);
    }
    let effective = scratch.store.effective_config(DeviceId([1; 16])).await.expect("reads");
    assert_eq!((changed, effective.entries.len()), (CONFIG_KEYS_MAX, CONFIG_KEYS_MAX));
    let again =
        scratch.store.set_config(None, &effective.entries[0].key, Some((b"y", false)), "ada", Timestamp(99));
    assert_eq!(again.await.expect("answers"), ConfigOutcome::Changed, "of a name that is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_key_sets_of_one_version_pushed_at_once_the_second_is_judged_beside_the_first() {
    let scratch = Scratch::new().await;
    let set = |n: u8| StoredKeySet {
        version: 1,
        signed: vec![n],
        pushed_at: Timestamp(1),
        pushed_by: "ada".into(),
    };
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (store, set) = (scratch.store.clone(), set(n));
        tasks.push(tokio::spawn(async move {
            store.put_key_set(&set, |known| if known.is_empty() { Ok(()) } else { Err(()) }).await
        }));
    }
    let mut put = 0;
    for task in tasks {
        put += usize::from(task.await.expect("runs").expect("answers").is_ok());
    }
    assert_eq!(put, 1);
}
