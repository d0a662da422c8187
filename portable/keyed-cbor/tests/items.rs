//! Claims about items, with `minicbor` as a second opinion on their bytes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bulkhead_keyed_cbor::{Decode, Encode, Reader, Writer, choice, record};

choice! {
/// A choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Colour {
    /// One.
    #[n(0)]
    Red,
    /// The other, with a gap between them.
    #[n(7)]
    Blue,
}
}

record! { Map
/// Something of each kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Everything<'b> {
    /// A choice.
    #[n(0)]
    pub colour: Colour,
    /// A number.
    #[n(1)]
    pub wide: u64,
    /// A number that may be absent.
    #[n(2)]
    pub narrow: Option<u8>,
    /// A text.
    #[n(5)]
    pub text: &'b str,
    /// Bytes.
    #[n(30)]
    pub bytes: Option<[u8; 2]>,
}
}

record! { Array
/// A pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// First.
    #[n(0)]
    pub first: u32,
    /// Second.
    #[n(1)]
    pub second: bool,
}
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes);
    value.encode(&mut writer);
    let len = writer.written().unwrap();
    bytes[..len].to_vec()
}

fn decoded<'b, T: Decode<'b>>(bytes: &'b [u8]) -> Option<T> {
    T::decode(&mut Reader::new(bytes))
}

#[test]
fn numbers_have_the_bytes_that_minicbor_gives_them_and_any_width_is_read() {
    for shift in 0..64 {
        for value in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 1, u64::MAX >> shift] {
            let mut theirs = [0; 9];
            let mut encoder = minicbor::Encoder::new(minicbor::encode::write::Cursor::new(&mut theirs[..]));
            encoder.u64(value).unwrap();
            let len = encoder.writer().position();
            assert_eq!(encoded(&value), theirs[..len], "{value}");
            assert_eq!(decoded::<u64>(&theirs), Some(value));
            assert_eq!(decoded::<u16>(&theirs), u16::try_from(value).ok(), "{value}");
        }
    }
    assert_eq!(decoded::<u8>(&[0x1B, 0, 0, 0, 0, 0, 0, 0, 7]), Some(7));
    assert_eq!(decoded::<u64>(&[0x20]), None, "a negative number");
    assert_eq!(decoded::<u64>(&[0x1F]), None, "a number of indefinite length");
}

#[test]
fn a_struct_comes_back_from_any_order_of_keys_and_from_a_map_without_end() {
    let value =
        Everything { colour: Colour::Blue, wide: 1 << 40, narrow: None, text: "ä", bytes: Some([1, 2]) };
    let bytes = encoded(&value);
    assert_eq!(bytes[..5], [0xA4, 0, 7, 1, 0x1B], "absent members are left out");
    assert_eq!(decoded(&bytes), Some(value));
    let [first, second] = [&bytes[1..3], &bytes[3..]];
    for (head, end) in [(0xA4, &[][..]), (0xBF, &[0xFF])] {
        let turned = [&[head], second, first, end].concat();
        assert_eq!(decoded(&turned), Some(value), "{turned:02x?}");
    }
    let null = [&[0xA5, 2, 0xF6], &bytes[1..]].concat();
    assert_eq!(decoded(&null), Some(value), "null is absent");
    assert_eq!(decoded(&[0x82, 5, 0xF5]), Some(Pair { first: 5, second: true }));
    assert_eq!(decoded(&[0x83, 5, 0xF5, 0x80]), Some(Pair { first: 5, second: true }), "a later member");
}

#[test]
fn whatever_lacks_a_member_or_has_a_wrong_one_is_malformed() {
    let whole = [0xA3, 0, 7, 1, 2, 5, 0x61, b'x'];
    assert!(decoded::<Everything<'_>>(&whole).is_some());
    for (what, bytes) in [
        ("cut", &whole[..7]),
        ("a choice of a later version", &[0xA3, 0, 8, 1, 2, 5, 0x61, b'x']),
        ("no colour", &[0xA2, 1, 2, 5, 0x61, b'x']),
        ("a text that is none", &[0xA3, 0, 7, 1, 2, 5, 0x61, 0xFF]),
        ("bytes for a text", &[0xA3, 0, 7, 1, 2, 5, 0x41, b'x']),
        ("a number that is too wide", &[0xA4, 0, 7, 1, 2, 2, 0x19, 1, 0, 5, 0x61, b'x']),
        ("an array for a map", &[0x83, 7, 2, 0x61]),
        ("a text for a key", &[0xA1, 0x61, b'x', 0]),
        ("a map of the longest length", &[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
        ("a text of the longest length", &[0xA1, 5, 0x7B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("a length that is reserved", &[0xBC]),
        ("nothing", &[]),
    ] {
        assert_eq!(decoded::<Everything<'_>>(bytes), None, "{what}");
    }
}

#[test]
fn all_kinds_of_items_are_skipped_to_their_end_and_never_beyond_a_depth() {
    for item in [
        &[0x00][..],
        &[0x39, 1, 0],
        &[0x42, 1, 2],
        &[0x5F, 0x41, 1, 0x40, 0xFF],
        &[0x7F, 0x61, b'x', 0xFF],
        &[0x82, 0x81, 0, 0xA1, 0, 0xF6],
        &[0x9F, 0x9F, 0xFF, 0xBF, 0, 1, 0xFF, 0xFF],
        &[0xC1, 0x18, 32],
        &[0xF9, 0, 0],
        &[0xFB, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xF8, 32],
    ] {
        let followed = [item, &[0x17]].concat();
        let mut reader = Reader::new(&followed);
        assert_eq!((reader.skip(), reader.number()), (Some(()), Some(23)), "{item:02x?}");
        assert!(reader.is_at_end());
        for len in 0..item.len() {
            assert_eq!(Reader::new(&item[..len]).skip(), None, "{len} bytes of {item:02x?}");
        }
    }
    for hostile in [&[0xFF][..], &[0xDF, 0], &[0x1F], &[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]]
    {
        assert_eq!(Reader::new(hostile).skip(), None, "{hostile:02x?}");
    }
    let nested = |depth| [&vec![0x81; depth][..], &[0]].concat();
    assert_eq!(Reader::new(&nested(16)).skip(), Some(()));
    assert_eq!(Reader::new(&nested(17)).skip(), None);
    assert_eq!(Reader::new(&nested(100_000)).skip(), None);
}

#[test]
fn what_does_not_fit_is_told_and_can_be_taken_back() {
    let pair = Pair { first: 1000, second: false };
    let mut bytes = [0; 12];
    let mut writer = Writer::new(&mut bytes);
    pair.encode(&mut writer);
    let position = writer.position();
    assert_eq!(writer.written(), Some(5));
    pair.encode(&mut writer);
    pair.encode(&mut writer);
    writer.truth(true); // Would fit, but something before it is missing.
    assert_eq!(writer.written(), None);
    writer.rewind(position);
    writer.truth(true);
    assert_eq!(writer.written(), Some(6));
}
