//! Log records: queued, written in batches, then told to whoever follows.
//!
//! The queue is bounded and a full queue drops the newcomer, with a counter, so that a flood of logs can neither
//! fill memory nor slow a device's link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_cloud_api::{DeviceId, LogLevel, LogRecord, LogSource, Timestamp};
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::devices::read_id;
use crate::{Store, StoreError};

/// Records that may wait to be written.
const QUEUE_MAX: usize = 8192;
/// Records of one transaction.
const BATCH_MAX: usize = 512;

/// A log record not yet numbered.
#[derive(Clone, Debug)]
pub struct NewLog {
    /// The device.
    pub device_id: DeviceId,
    /// When the server received it.
    pub received_at: Timestamp,
    /// Who wrote it.
    pub source: LogSource,
    /// Level.
    pub level: LogLevel,
    /// Microseconds since the device's power came on.
    pub uptime_us: u64,
    /// Running number since the device's power came on.
    pub sequence: u32,
    /// Records that the device lost before this one.
    pub lost: u32,
    /// The text.
    pub text: String,
}

/// Which log records a list holds.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Of this device alone.
    pub device_id: Option<DeviceId>,
    /// Of this level or a graver one.
    pub level: Option<LogLevel>,
    /// Numbered above this.
    pub after: i64,
    /// Numbered below this.
    pub before: Option<i64>,
    /// Most records.
    pub limit: u32,
    /// The newest that fit, instead of the oldest.
    pub newest: bool,
}

enum Item {
    Record(NewLog),
    Flush(oneshot::Sender<()>),
}

#[derive(Clone)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

pub(crate) fn start_writer(writer: SqlitePool, published: broadcast::Sender<Arc<LogRecord>>) -> Queue {
    let (sender, mut receiver) = mpsc::channel(QUEUE_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = dropped.clone();
    tokio::spawn(async move {
        let mut items = Vec::with_capacity(BATCH_MAX);
        while receiver.recv_many(&mut items, BATCH_MAX).await > 0 {
            let (mut records, mut waiting) = (Vec::new(), Vec::new());
            for item in items.drain(..) {
                match item {
                    Item::Record(record) => records.push(record),
                    Item::Flush(done) => waiting.push(done),
                }
            }
            let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
            match write_batch(&writer, records).await {
                Ok(written) => written.into_iter().for_each(|record| {
                    let _ = published.send(Arc::new(record));
                }),
                Err(error) => {
                    counter.fetch_add(count, Ordering::Relaxed);
                    tracing::error!(%error, record_count = count, "log records could not be written");
                }
            }
            waiting.into_iter().for_each(|done| {
                let _ = done.send(());
            });
        }
    });
    Queue { sender, dropped }
}

async fn write_batch(writer: &SqlitePool, records: Vec<NewLog>) -> Result<Vec<LogRecord>, StoreError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = writer.begin_with(crate::BEGIN).await?;
    let mut written = Vec::with_capacity(records.len());
    let sql = "INSERT INTO logs (device_id, received_at, source, level, uptime_us, sequence, lost, text) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";
    for record in records {
        let row = sqlx::query(sql)
            .bind(record.device_id.0.to_vec())
            .bind(record.received_at.0)
            .bind(source_text(record.source))
            .bind(i64::from(record.level.number()))
            .bind(i64::try_from(record.uptime_us).unwrap_or(i64::MAX))
            .bind(i64::from(record.sequence))
            .bind(i64::from(record.lost))
            .bind(&record.text)
            .fetch_one(&mut *transaction)
            .await?;
        written.push(LogRecord {
            id: row.try_get("id")?,
            device_id: record.device_id,
            received_at: record.received_at,
            source: record.source,
            level: record.level,
            uptime_us: record.uptime_us,
            sequence: record.sequence,
            lost: record.lost,
            text: record.text,
        });
    }
    transaction.commit().await?;
    Ok(written)
}

impl Store {
    /// Queues a log record; `false` if the queue is full and the record was dropped and counted.
    pub fn append_log(&self, record: NewLog) -> bool {
        let taken = self.log_queue.sender.try_send(Item::Record(record)).is_ok();
        if !taken {
            self.log_queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Log records lost here since the server started.
    pub fn log_records_dropped(&self) -> u64 {
        self.log_queue.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything queued so far is written.
    pub async fn flush_logs(&self) {
        let (done, written) = oneshot::channel();
        if self.log_queue.sender.send(Item::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }

    /// Log records, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn logs(&self, filter: &LogFilter) -> Result<Vec<LogRecord>, StoreError> {
        const OLDEST: &str = "SELECT * FROM logs WHERE (?1 IS NULL OR device_id = ?1) AND level <= ?2 \
                              AND id > ?3 AND id < ?4 ORDER BY id LIMIT ?5";
        const NEWEST: &str = "SELECT * FROM logs WHERE (?1 IS NULL OR device_id = ?1) AND level <= ?2 \
                              AND id > ?3 AND id < ?4 ORDER BY id DESC LIMIT ?5";
        let rows = sqlx::query(if filter.newest { NEWEST } else { OLDEST })
            .bind(filter.device_id.map(|id| id.0.to_vec()))
            .bind(i64::from(filter.level.unwrap_or(LogLevel::Trace).number()))
            .bind(filter.after)
            .bind(filter.before.unwrap_or(i64::MAX))
            .bind(i64::from(filter.limit))
            .fetch_all(&self.reader)
            .await?;
        let mut records = rows.iter().map(read_log).collect::<Result<Vec<_>, _>>()?;
        if filter.newest {
            records.reverse();
        }
        Ok(records)
    }
}

fn source_text(source: LogSource) -> &'static str {
    match source {
        LogSource::Application => "application",
        LogSource::Hypervisor => "hypervisor",
    }
}

fn read_log(row: &SqliteRow) -> Result<LogRecord, StoreError> {
    let source: String = row.try_get("source")?;
    let number = |column: &str| -> Result<u32, StoreError> {
        u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("log record"))
    };
    Ok(LogRecord {
        id: row.try_get("id")?,
        device_id: read_id(row, "device_id")?,
        received_at: Timestamp(row.try_get("received_at")?),
        source: if source == "application" { LogSource::Application } else { LogSource::Hypervisor },
        level: LogLevel::from_number(u8::try_from(number("level")?).unwrap_or(u8::MAX)),
        uptime_us: u64::try_from(row.try_get::<i64, _>("uptime_us")?).unwrap_or_default(),
        sequence: number("sequence")?,
        lost: number("lost")?,
        text: row.try_get("text")?,
    })
}
