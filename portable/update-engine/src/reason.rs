//! Why something was refused or failed, in words, in a fixed room.

use core::fmt;

use bulkhead_link_protocol::{REASON_LEN_MAX, ReasonCode};

/// A text of at most [`REASON_LEN_MAX`] bytes; what does not fit is cut off.
#[derive(Clone, Copy)]
pub(crate) struct Reason {
    bytes: [u8; REASON_LEN_MAX],
    len: usize,
    code: ReasonCode,
}

impl Reason {
    /// No reason.
    pub(crate) const NONE: Self = Self { bytes: [0; REASON_LEN_MAX], len: 0, code: ReasonCode::Unknown };

    /// The text of `value`.
    pub(crate) fn of(value: impl fmt::Display) -> Self {
        let mut reason = Self::NONE;
        // A text that does not fit is cut off, which is the one error there is.
        let _ = fmt::Write::write_fmt(&mut reason, format_args!("{value}"));
        reason
    }

    /// As [`Self::of`], with the number that programs act upon.
    pub(crate) fn coded(code: ReasonCode, value: impl fmt::Display) -> Self {
        Self { code, ..Self::of(value) }
    }

    /// The number, if it has one.
    pub(crate) fn code(&self) -> Option<ReasonCode> {
        (self.code != ReasonCode::Unknown).then_some(self.code)
    }

    /// The text, or `None` if there is none.
    pub(crate) fn text(&self) -> Option<&str> {
        let bytes = self.bytes.get(..self.len).filter(|bytes| !bytes.is_empty())?;
        core::str::from_utf8(bytes).ok()
    }
}

impl fmt::Write for Reason {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let fits = text.floor_char_boundary(room.len());
        for (cell, byte) in room.iter_mut().zip(text.bytes().take(fits)) {
            *cell = byte;
        }
        self.len = self.len.saturating_add(fits);
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_cut_between_characters() {
        let long = "\u{e9}".repeat(REASON_LEN_MAX);
        let reason = Reason::of(format_args!("a{long}"));
        let text = reason.text().unwrap_or_default();
        assert!(text.len() < REASON_LEN_MAX && text.starts_with('a') && text.ends_with('\u{e9}'));
        assert_eq!(Reason::NONE.text(), None);
    }
}
