//! Declares structs and enums together with how they travel.

/// Declares a struct whose members travel behind the numbers that `#[n(..)]` gives them, or in their order.
///
/// ```
/// bulkhead_keyed_cbor::record! { Map
/// /// A question.
/// #[derive(Debug, PartialEq)]
/// pub struct Question<'b> {
///     /// Who asks.
///     #[n(0)]
///     pub who: u32,
///     /// In words; may be left out.
///     #[n(2)]
///     pub words: Option<&'b str>,
/// }
/// }
/// use bulkhead_keyed_cbor::{Decode, Encode, Reader, Writer};
///
/// let question = Question { who: 7, words: Some("why?") };
/// let mut bytes = [0; 16];
/// let mut writer = Writer::new(&mut bytes);
/// question.encode(&mut writer);
/// assert_eq!(writer.written(), Some(9));
/// assert_eq!(bytes[..9], [0xA2, 0, 7, 2, 0x64, b'w', b'h', b'y', b'?']);
/// assert_eq!(Question::decode(&mut Reader::new(&bytes)), Some(question));
/// ```
#[macro_export]
macro_rules! record {
    ($shape:ident
     $(#[$attribute:meta])* pub struct $name:ident<$life:lifetime> { $($members:tt)* }) => {
        $crate::record! { @declare $shape $life [$name<$life>] [$(#[$attribute])* pub struct $name<$life>] $($members)* }
    };
    ($shape:ident $(#[$attribute:meta])* pub struct $name:ident { $($members:tt)* }) => {
        $crate::record! { @declare $shape 'b [$name] [$(#[$attribute])* pub struct $name] $($members)* }
    };
    (@declare $shape:ident $life:lifetime [$($type:tt)*] [$($head:tt)*]
     $($(#[doc = $doc:expr])* #[n($number:literal)] pub $member:ident: $of:ty),* $(,)?) => {
        $($head)* {
            $($(#[doc = $doc])* pub $member: $of),*
        }

        impl<$life> $crate::Encode for $($type)* {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                writer.members($crate::Shape::$shape, &[$(($number, &self.$member)),*]);
            }
        }

        impl<$life> $crate::Decode<$life> for $($type)* {
            fn decode(reader: &mut $crate::Reader<$life>) -> Option<Self> {
                $(let mut $member = <$of as $crate::Decode<$life>>::ABSENT;)*
                reader.members($crate::Shape::$shape, &mut [$(($number, &mut $member)),*])?;
                Some(Self { $($member: $member?),* })
            }
        }
    };
}

/// Declares an enum whose variants travel as the numbers that `#[n(..)]` gives them.
#[macro_export]
macro_rules! choice {
    ($(#[$attribute:meta])* pub enum $name:ident {
        $($(#[doc = $doc:expr])* #[n($number:literal)] $variant:ident),* $(,)?
    }) => {
        $(#[$attribute])*
        pub enum $name {
            $($(#[doc = $doc])* $variant = $number),*
        }

        impl $crate::Encode for $name {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                writer.number(*self as u64);
            }
        }

        impl<'b> $crate::Decode<'b> for $name {
            fn decode(reader: &mut $crate::Reader<'b>) -> Option<Self> {
                match reader.number()? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
