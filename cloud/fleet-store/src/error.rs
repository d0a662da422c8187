//! What can go wrong beneath the API.

use std::fmt;

/// Why the store could not answer. Ours or the disk's fault, never the caller's, but for `NameTaken`.
#[derive(Debug)]
pub enum StoreError {
    /// The database failed.
    Database(sqlx::Error),
    /// A stored value cannot be read back: the file was damaged or edited.
    Damaged(&'static str),
    /// The file was written by a newer server.
    Newer {
        /// Version of the file's schema.
        found: i64,
        /// Newest version that this server knows.
        known: i64,
    },
    /// The caller chose a name that is in use.
    NameTaken,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Damaged(what) => write!(f, "database holds an unreadable {what}"),
            Self::Newer { found, known } => {
                write!(
                    f,
                    "database has schema {found}, this server knows up to {known}: start the newer server"
                )
            }
            Self::NameTaken => f.write_str("name is in use"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner)
                if inner.is_unique_violation() && inner.message().contains("devices.name") =>
            {
                Self::NameTaken
            }
            _ => Self::Database(error),
        }
    }
}

/// Reads a fixed number of bytes from a column.
pub(crate) fn fixed<const N: usize>(bytes: Vec<u8>, what: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged(what))
}

/// Reads an enum or struct of the API from the JSON in a column.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    text: &str,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged(what))
}

/// Writes a struct of the API for a column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged(what))
}
