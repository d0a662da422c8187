use super::*;
use crate::pruning::*;

/// How SQLite goes about a statement, a line a step.
async fn plan(store: &Store, sql: &str) -> String {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(&store.reader)
        .await
        .expect("explains");
    let steps = rows.iter().map(|row| sqlx::Row::try_get::<String, _>(row, "detail").expect("a step"));
    steps.collect::<Vec<_>>().join("\n")
}

/// `count` settled messages of device number `device`, received at microseconds 1, 2, 3 and so on.
async fn receive(store: &Store, device: u8, count: i64) {
    let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2) \
               INSERT INTO messages (device_id, direction, run, number, topic, body, state, created_at, sent_at) \
               SELECT ?1, 'from-device', 1, n, 0, x'00', 'received', n, n FROM n";
    sqlx::query(sql).bind(vec![device; 16]).bind(count).execute(&store.writer).await.expect("inserts");
}

async fn numbers(store: &Store, device: u8) -> Vec<u32> {
    let device_id = Some(DeviceId([device; 16]));
    let filter = MessageFilter { device_id, limit: u32::MAX, ..MessageFilter::default() };
    store.messages(&filter).await.expect("lists").iter().map(|message| message.number).collect()
}

#[tokio::test]
async fn no_batch_reads_more_than_it_deletes() {
    let scratch = Scratch::new().await;
    for sql in [OLD_MESSAGES, NEWEST_TOO_MANY, MESSAGES_TOO_MANY, OLD_EVENTS, OLD_LOGS] {
        let plan = plan(&scratch.store, sql).await;
        for step in plan.lines().filter(|step| step.starts_with("SCAN")) {
            // The batch's own list of numbers; and of those that are read in their order, only the first.
            let bounded = step == "SCAN events" || step == "SCAN logs" || step.contains("SUBQUERY");
            assert!(bounded, "{sql}\n{plan}");
        }
    }
    // This one reads all, but no bodies, and holds no lock.
    let crowded = plan(&scratch.store, CROWDED).await;
    assert_eq!(crowded, "SCAN messages USING COVERING INDEX messages_by_device");
}

#[tokio::test]
async fn the_newest_messages_of_each_device_are_kept_and_no_batch_holds_the_lock_for_more_than_its_rows() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    let extra = i64::from(BATCH) + 7;
    receive(store, 1, KEPT_OF_DEVICE + extra).await;
    receive(store, 2, 3).await;
    let newest = KEPT_OF_DEVICE + extra;
    let batch = sqlx::query(MESSAGES_TOO_MANY).bind(vec![1_u8; 16]).bind(newest).bind(BATCH);
    let deleted = batch.execute(&store.writer).await.expect("deletes").rows_affected();
    assert_eq!(deleted, u64::from(BATCH), "of all that it may");
    assert_eq!(store.prune_messages(Timestamp(0)).await.expect("prunes"), 7);
    let kept = numbers(store, 1).await;
    assert_eq!((kept.len(), kept.first()), (10_000, Some(&(BATCH + 8))));
    assert_eq!(numbers(store, 2).await, [1, 2, 3]);
}

#[tokio::test]
async fn old_messages_events_and_records_all_go_however_many_batches_it_takes() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    let count = i64::from(BATCH) * 2 + 1;
    receive(store, 1, count).await;
    let events = "INSERT INTO events (at, kind, data) SELECT sent_at, 'x', 'null' FROM messages";
    sqlx::query(events).execute(&store.writer).await.expect("inserts");
    assert_eq!(store.prune_messages(Timestamp(count)).await.expect("prunes"), 2 * u64::from(BATCH));
    assert_eq!(numbers(store, 1).await, [2 * BATCH + 1]);
    assert_eq!(store.prune(Timestamp(count), u32::MAX).await.expect("prunes"), 2 * u64::from(BATCH));
    assert_eq!(store.events_after(0, None, 10).await.expect("lists").len(), 1);
}

#[tokio::test]
async fn a_message_that_waits_for_its_device_is_never_pruned() {
    let scratch = Scratch::with_device().await;
    let store = &scratch.store;
    store.queue_message(&order("wait", i64::MAX), Timestamp(1)).await.expect("queues");
    receive(store, 1, KEPT_OF_DEVICE).await;
    assert_eq!(store.prune_messages(Timestamp(i64::MAX)).await.expect("prunes"), 10_000);
    assert_eq!(numbers(store, 1).await.len(), 1);
}

#[tokio::test]
async fn a_message_stays_until_its_webhooks_got_it_however_old_its_device_says_that_it_is() {
    let scratch = Scratch::new().await;
    let store = &scratch.store;
    store.create_webhook("http://x", "ada", Timestamp(1)).await.expect("makes");
    let new = NewDeviceMessage {
        device_id: DeviceId([1; 16]),
        run: 1,
        number: 1,
        topic: 0,
        bytes: vec![1],
        // It waited for a year on its device.
        created_at: Timestamp(-1_000_000),
    };
    store.store_device_message(&new, Timestamp(10)).await.expect("stores").expect("is new");
    assert_eq!(store.prune_messages(Timestamp(10)).await.expect("prunes"), 0, "it came just now");
    assert_eq!(store.prune_messages(Timestamp(11)).await.expect("prunes"), 0, "nobody got it");
    let due = store.due_deliveries(1, Timestamp(10), 9).await.expect("reads").pop().expect("one");
    let outcome = AttemptOutcome {
        state: DeliveryState::Delivered,
        next_attempt_at: Timestamp(11),
        status: Some(200),
        error: None,
    };
    store.record_attempt(due.id, &outcome, Timestamp(11)).await.expect("records");
    assert_eq!(store.prune_messages(Timestamp(11)).await.expect("prunes"), 1);
}

#[tokio::test]
async fn what_is_left_of_a_dump_goes_after_a_day_and_does_not_give_its_device_another() {
    let scratch = Scratch::with_device().await;
    let (store, id, day) = (&scratch.store, DeviceId([1; 16]), 86_400_000_000);
    let begin = |name: u8, at: i64| async move {
        store.offer_crash(id, &[name; 16], 100, Timestamp(at)).await.expect("answers")
    };
    let first = begin(0, 1).await;
    let CrashStanding::Partial { id: partial, received: 0 } = first else { panic!("{first:?}") };
    store.append_crash(partial, 0, &[7; 60]).await.expect("keeps");
    for name in 1..64 {
        let begun = begin(name, 1).await;
        let CrashStanding::Partial { id, .. } = begun else { panic!("{name}: {begun:?}") };
        store.forget_crash(id).await.expect("forgets");
    }
    assert_eq!(begin(64, day - 1).await, CrashStanding::TooMany, "what was no dump counts as well");
    assert_eq!(begin(0, day - 1).await, CrashStanding::Partial { id: partial, received: 60 }, "it goes on");
    assert!(matches!(begin(64, day).await, CrashStanding::Partial { received: 0, .. }), "another day");
    assert_eq!(store.prune_crashes(Timestamp(0), Timestamp(2)).await.expect("prunes"), 1);
    assert_eq!(store.crash_pieces(partial).await.expect("reads"), Vec::<u8>::new());
}
