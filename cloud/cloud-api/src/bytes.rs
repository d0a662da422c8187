//! Bytes in JSON: base64 with padding (RFC 4648, section 4), and text where they are text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let digit = usize::try_from(word >> (18 - 6 * index) & 63).unwrap_or_default();
            let digit = ALPHABET.get(digit).copied().unwrap_or(b'A');
            text.push(if usize::try_from(index).is_ok_and(|index| index <= group.len()) {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

/// Bytes from base64; `None` if it is none.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for index in 0..4 {
            let digit = match group.get(index) {
                Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                None => 0,
            };
            word = word << 6 | u32::try_from(digit).ok()?;
        }
        let [_, whole @ ..] = word.to_be_bytes();
        let len = group.len().checked_sub(1).filter(|len| *len > 0)?;
        bytes.extend(whole.iter().take(len));
    }
    // One text for the same bytes.
    (to_base64(&bytes) == text).then_some(bytes)
}

/// Bytes as text, if they are UTF-8 without control characters other than line breaks and tabs.
pub fn as_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(shown).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard_and_comes_back() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_base64(&to_base64(&all)), Some(all));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zg===", "====", "Zm9v\n", "Zm-v", "Z=9v", "Zm8=Zm8="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_text_is_shown_as_text() {
        assert_eq!(as_text("naïve\n".as_bytes()).as_deref(), Some("naïve\n"));
        assert_eq!(as_text(b"\xff"), None);
        assert_eq!(as_text(b"\x1b[2J"), None);
    }
}
