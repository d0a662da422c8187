//! The developers whom an owner lets debug an application.

/// Most keys in one policy.
pub const DEBUG_KEYS_MAX: usize = 4;

/// X25519 public keys of developers, at most [`DEBUG_KEYS_MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DebugKeys {
    keys: [[u8; 32]; DEBUG_KEYS_MAX],
    count: usize,
}

impl DebugKeys {
    /// These keys; `None` if there are too many.
    pub fn new(keys: &[[u8; 32]]) -> Option<Self> {
        let mut named = Self::default();
        named.keys.get_mut(..keys.len())?.copy_from_slice(keys);
        named.count = keys.len();
        Some(named)
    }

    /// Keys one after the other, as a manifest holds them: at least one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (keys, []) = bytes.as_chunks::<32>() else { return None };
        if keys.is_empty() { None } else { Self::new(keys) }
    }

    /// The keys.
    pub fn as_slice(&self) -> &[[u8; 32]] {
        self.keys.get(..self.count).unwrap_or_default()
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `key` is named.
    pub fn names(&self, key: &[u8; 32]) -> bool {
        self.as_slice().contains(key)
    }
}
