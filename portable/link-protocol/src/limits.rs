//! Limits and constants of the link that both ends must agree on.

/// First byte a device sends: the version of the carrier and of the handshake.
pub const LINK_VERSION: u8 = 1;

/// Noise protocol name, as `snow` and `clatter` spell it.
pub const NOISE_PROTOCOL: &str = "Noise_IK_25519_ChaChaPoly_SHA256";

/// Start of the Noise prologue; the 16-byte realm id follows it directly.
pub const PROLOGUE_PREFIX: &[u8] = b"bulkhead/1";

/// Length of a server's realm id in bytes.
pub const REALM_ID_LEN: usize = 16;

/// Longest plaintext of a frame in bytes, lane and kind included.
pub const PLAINTEXT_LEN_MAX: usize = 1024;

/// Bytes that ChaCha20-Poly1305 adds to a plaintext.
pub const TAG_LEN: usize = 16;

/// Longest ciphertext of a frame in bytes.
pub const CIPHERTEXT_LEN_MAX: usize = PLAINTEXT_LEN_MAX + TAG_LEN;

/// Bytes of the length field before each ciphertext.
pub const LENGTH_PREFIX_LEN: usize = 2;

/// Length of the first handshake message (`e, es, s, ss`, empty payload).
pub const HANDSHAKE_1_LEN: usize = 96;

/// Length of the second handshake message (`e, ee, se`, empty payload).
pub const HANDSHAKE_2_LEN: usize = 48;

/// Length of the plaintext refusal that a server may send instead of the second handshake message:
/// `0x0000 | reason:u16 | retry_in_s:u32`, big-endian.
pub const REFUSAL_LEN: usize = 8;

/// Longest piece of bundle bytes in one frame.
pub const CHUNK_LEN_MAX: usize = 960;

/// Longest text of one log record in bytes.
pub const LOG_TEXT_LEN_MAX: usize = 256;

/// Longest text of a reason (fault, refusal) in bytes.
pub const REASON_LEN_MAX: usize = 160;

/// Largest span that a device may ask for with one `Fetch`, in bytes.
pub const FETCH_LEN_MAX: u32 = 8192;

/// Frames after which both directions are rekeyed.
pub const REKEY_FRAMES: u64 = 1 << 20;
