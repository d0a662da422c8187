//! Structs shared with the application: as Rust, as bytes, and as C.

use crate::CONFIG_KEY_LEN_MAX;

/// A field of a record: its bytes, and its C declaration around the name.
pub(crate) trait Field {
    const C_TYPE: &'static str;
    const C_SUFFIX: &'static str = "";

    /// Writes itself to the beginning of `room`, little-endian; returns the room behind it.
    fn put(self, room: &mut [u8]) -> &mut [u8];
}

/// Writes `bytes` to the beginning of `room`; returns the room behind them.
pub(crate) fn put<'r>(bytes: &[u8], room: &'r mut [u8]) -> &'r mut [u8] {
    let Some((place, rest)) = room.split_at_mut_checked(bytes.len()) else { return &mut [] };
    place.copy_from_slice(bytes);
    rest
}

macro_rules! fields {
    ($($type:ty, $c:literal, $suffix:literal, $bytes:expr;)*) => {$(
        impl Field for $type {
            const C_TYPE: &'static str = $c;
            const C_SUFFIX: &'static str = $suffix;

            #[inline]
            fn put(self, room: &mut [u8]) -> &mut [u8] {
                let bytes: fn($type) -> [u8; size_of::<$type>()] = $bytes;
                put(&bytes(self), room)
            }
        }
    )*};
}

fields! {
    u16, "uint16_t", "", u16::to_le_bytes;
    u32, "uint32_t", "", u32::to_le_bytes;
    u64, "uint64_t", "", u64::to_le_bytes;
    [u8; 4], "uint8_t", "[4]", |bytes| bytes;
    [u8; CONFIG_KEY_LEN_MAX as usize], "char", "[BH_CONFIG_KEY_LEN_MAX]", |bytes| bytes;
}

impl Field for [[u8; 4]; 2] {
    const C_TYPE: &'static str = "uint8_t";
    const C_SUFFIX: &'static str = "[2][4]";

    #[inline]
    fn put(self, room: &mut [u8]) -> &mut [u8] {
        put(self.as_flattened(), room)
    }
}

/// A field in C: its type, its name, what follows the name, its meaning.
pub type CField = (&'static str, &'static str, &'static str, &'static str);

/// A struct whose fields are words, unless they say what else they are.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident $c:literal $len:literal { $($field:ident $(: $type:ty)?, $fdoc:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[repr(C)]
        pub struct $name { $(#[doc = $fdoc] pub $field: $crate::record::field_type!($($type)?)),* }

        impl $name {
            /// The struct in C: its name, its fields, its length in bytes.
            pub const IN_C: (&'static str, &'static [$crate::CField], usize) = ($c, &[$((
                <$crate::record::field_type!($($type)?) as $crate::record::Field>::C_TYPE,
                stringify!($field),
                <$crate::record::field_type!($($type)?) as $crate::record::Field>::C_SUFFIX,
                $fdoc,
            )),*], $len);

            /// The struct as an application reads it.
            pub fn to_bytes(self) -> [u8; $len] {
                const { assert!(size_of::<$name>() == $len, "no gap between fields, none behind them") };
                let mut bytes = [0; $len];
                let room = bytes.as_mut_slice();
                $(let room = $crate::record::Field::put(self.$field, room);)*
                let _ = room;
                bytes
            }
        }
    };
}
pub(crate) use record;

macro_rules! field_type {
    () => {
        u32
    };
    ($type:ty) => {
        $type
    };
}
pub(crate) use field_type;
