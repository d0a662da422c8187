//! Brings the file to the newest schema. A migration, once released, is never edited, only followed.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use crate::StoreError;

/// Each migration and, by its place, the version it leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001-first.sql"),
    include_str!("migrations/0002-patches.sql"),
    include_str!("migrations/0003-owner.sql"),
    include_str!("migrations/0004-revert.sql"),
    include_str!("migrations/0005-crashes.sql"),
    include_str!("migrations/0006-messages.sql"),
    include_str!("migrations/0007-limits.sql"),
];

pub(crate) async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(writer).await?.try_get(0)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        let mut transaction = writer.begin_with(crate::BEGIN).await?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        let mark = format!("PRAGMA user_version = {version}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
