//! Messages between owner and application, and webhooks that pass them on.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, Timestamp};

/// Longest body of a message in bytes.
pub const MESSAGE_LEN_MAX: usize = 960;

/// Messages that may wait for one device.
pub const MESSAGES_WAITING_MAX: u32 = 100;

/// Time after which a message that was not delivered expires, if its sender does not say; in seconds.
pub const MESSAGE_EXPIRY_DEFAULT_S: u32 = 7 * 86_400;

/// Longest time to expiry in seconds.
pub const MESSAGE_EXPIRY_MAX_S: u32 = 30 * 86_400;

/// Longest idempotency key in bytes.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 64;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MessageDirection {
    /// The application sent it.
    FromDevice,
    /// It is for the application.
    ToDevice,
}

impl MessageDirection {
    /// The direction as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FromDevice => "from-device",
            Self::ToDevice => "to-device",
        }
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MessageState {
    /// From a device: stored here.
    Received,
    /// To a device: waits for it to be connected and to have room.
    Queued,
    /// To a device: on its way, or in its memory.
    Sent,
    /// The application took it.
    Delivered,
    /// The application was of no use for it.
    Refused,
    /// Its time was over before it could be sent.
    Expired,
}

impl MessageState {
    /// Every state.
    pub const ALL: &[Self] =
        &[Self::Received, Self::Queued, Self::Sent, Self::Delivered, Self::Refused, Self::Expired];

    /// The state as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// A message.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Number, rising; the id of the server-sent event.
    pub id: i64,
    /// The device.
    pub device_id: DeviceId,
    /// Which way it goes.
    pub direction: MessageDirection,
    /// What the application knows it by.
    pub number: u32,
    /// Chosen by the sender.
    pub topic: u32,
    /// The body in base64.
    pub body: String,
    /// The body as text, where it is text.
    pub text: Option<String>,
    /// How far it is.
    pub state: MessageState,
    /// When it was handed over: by the application, as the device says, or by the caller.
    pub created_at: Timestamp,
    /// Account that sent it to the device.
    pub created_by: Option<String>,
    /// When it was last sent to the device, unless that has started anew since; for a message of a device, when it was
    /// stored here.
    pub sent_at: Option<Timestamp>,
    /// When it was delivered, refused or expired.
    pub settled_at: Option<Timestamp>,
    /// When it expires if it was not sent by then.
    pub expires_at: Option<Timestamp>,
    /// How often it was sent to the device: once a link.
    pub attempts: u32,
}

/// Body that sends a message to a device. One of `body` and `text` has to be there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// Any number that the application understands.
    #[serde(default)]
    pub topic: u32,
    /// 1 to 960 bytes in base64.
    pub body: Option<String>,
    /// 1 to 960 bytes of text.
    pub text: Option<String>,
    /// Seconds after which it expires if it was not sent by then; 604,800 if absent, 2,592,000 at most.
    pub expires_in_s: Option<u32>,
}

/// A place that messages of devices are posted to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Webhook {
    /// Number.
    pub id: i64,
    /// Address.
    pub url: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Account that made it.
    pub created_by: String,
}

/// Body that makes a webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Address, `http` or `https`.
    pub url: String,
}

/// A webhook that was just made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedWebhook {
    /// It.
    pub webhook: Webhook,
    /// Key of the signature under each delivery; shown this once.
    pub secret: String,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It waits for its first or next attempt.
    Pending,
    /// The other side answered with a status of 200 to 299.
    Delivered,
    /// It was tried so often that it is given up.
    Failed,
}

/// A message on its way to a webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Number, the same in each attempt.
    pub id: i64,
    /// The webhook.
    pub webhook_id: i64,
    /// The message.
    pub message_id: i64,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt came to no answer.
    pub last_error: Option<String>,
    /// When this last changed.
    pub updated_at: Timestamp,
}

/// What is posted to a webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookPost {
    /// What it tells: `message`. More may be added.
    pub kind: String,
    /// Number of the delivery: the same number again is the same delivery.
    pub delivery_id: i64,
    /// The message.
    pub message: Message,
}
