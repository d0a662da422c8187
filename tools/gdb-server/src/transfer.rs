//! Hexadecimal numbers and bytes as GDB writes them.

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of hexadecimal digits; `None` if they are none.
pub(crate) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A number in hexadecimal digits.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// What is before and what is behind the first `by`.
pub(crate) fn split_once(text: &[u8], by: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == by)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Two numbers around `by`.
pub(crate) fn pair(text: &[u8], by: u8) -> Option<(u32, u32)> {
    let (first, second) = split_once(text, by)?;
    Some((number(first)?, number(second)?))
}

/// A piece of a document for `qXfer`: `m` and the piece, or `l` and the last one.
pub(crate) fn piece(document: &str, span: &[u8]) -> Option<Vec<u8>> {
    let (offset, len) = pair(span, b',')?;
    let rest = document.as_bytes().get(usize::try_from(offset).ok()?..).unwrap_or_default();
    let len = usize::try_from(len).ok()?;
    Some(match rest.get(..len) {
        Some(part) if part.len() < rest.len() => [b"m", part].concat(),
        _ => [b"l", rest].concat(),
    })
}
