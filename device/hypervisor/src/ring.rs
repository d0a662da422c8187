//! Rings of bytes: a span of one is two pieces at most, up to the end and from the beginning on.

/// The `len` bytes of a ring from `start` on.
pub(crate) fn span(ring: &[u8], start: usize, len: usize) -> (&[u8], &[u8]) {
    let (front, rest) = ring.split_at(start.min(ring.len()));
    let (head, _) = rest.split_at(len.min(rest.len()));
    (head, front.get(..len - head.len()).unwrap_or_default())
}

/// The same, to be written.
pub(crate) fn span_mut(ring: &mut [u8], start: usize, len: usize) -> (&mut [u8], &mut [u8]) {
    let (front, rest) = ring.split_at_mut(start.min(ring.len()));
    let (head, _) = rest.split_at_mut(len.min(rest.len()));
    let behind = len - head.len();
    (head, front.get_mut(..behind).unwrap_or_default())
}

/// Reads as many bytes of a ring from `start` on as `out` has.
pub(crate) fn read(ring: &[u8], start: usize, out: &mut [u8]) {
    let (head, tail) = span(ring, start, out.len());
    let (first, second) = out.split_at_mut(head.len());
    first.copy_from_slice(head);
    if let Some(second) = second.get_mut(..tail.len()) {
        second.copy_from_slice(tail);
    }
}

/// Writes bytes into a ring from `start` on.
pub(crate) fn write(ring: &mut [u8], start: usize, bytes: &[u8]) {
    let _ = fill(ring, start, bytes.len(), from_slice(bytes));
}

/// Lets `write` fill the `len` bytes of a ring from `start` on, in one piece or two; `false` from it ends that.
pub(crate) fn fill(
    ring: &mut [u8],
    start: usize,
    len: usize,
    mut write: impl FnMut(&mut [u8]) -> bool,
) -> bool {
    let (head, tail) = span_mut(ring, start, len);
    (head.is_empty() || write(head)) && (tail.is_empty() || write(tail))
}

/// Fills one piece after the other with what is left of `bytes`; `false` when that is too little.
pub(crate) fn from_slice(mut bytes: &[u8]) -> impl FnMut(&mut [u8]) -> bool {
    move |room| {
        let piece = bytes.split_off(..room.len());
        piece.is_some_and(|piece| {
            room.copy_from_slice(piece);
            true
        })
    }
}
