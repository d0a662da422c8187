//! Messages, webhooks and configuration.

use bulkhead_cloud_api::*;

use crate::routes::device_path;
use crate::{Client, ClientError, Follow, Outgoing, escaped};

/// Which messages are wanted.
#[derive(Clone, Debug, Default)]
pub struct MessageQuery {
    /// Id or name of a device; all if absent.
    pub device: Option<String>,
    /// One direction alone.
    pub direction: Option<MessageDirection>,
    /// One state alone.
    pub state: Option<MessageState>,
    /// Most messages.
    pub count: u32,
}

impl Client {
    /// Queues a message for a device. The same `idempotency_key` again is the same message.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn send_message(
        &self,
        device: &str,
        message: &SendMessage,
        idempotency_key: Option<&str>,
    ) -> Result<Message, ClientError> {
        let path = device_path(device, "/messages");
        let mut request = Outgoing::json("POST", &path, message);
        request.idempotency_key = idempotency_key.map(str::to_owned);
        self.receive(self.send(request)?)
    }

    /// The newest messages, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>, ClientError> {
        let device = query.device.as_deref().map(|device| format!("&device={}", escaped(device)));
        let direction = query.direction.map(|direction| format!("&direction={}", direction.as_str()));
        let state = query.state.map(|state| format!("&state={}", state.as_str()));
        let more: String = [device, direction, state].into_iter().flatten().collect();
        Ok(self.get::<Page<Message>>(&format!("/api/v1/messages?limit={}{more}", query.count))?.items)
    }

    /// Messages of devices from now on, of one device if given.
    pub fn follow_messages(&self, device: Option<&str>) -> Follow<Message> {
        let query = device.map(|device| format!("?device={}", escaped(device))).unwrap_or_default();
        Follow::new(self.clone(), format!("/api/v1/messages/stream{query}"))
    }

    /// Every webhook.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn webhooks(&self) -> Result<Vec<Webhook>, ClientError> {
        self.get("/api/v1/webhooks")
    }

    /// Makes a webhook.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_webhook(&self, new: &NewWebhook) -> Result<CreatedWebhook, ClientError> {
        self.call("POST", "/api/v1/webhooks", new)
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete_webhook(&self, id: i64) -> Result<(), ClientError> {
        self.send(Outgoing::new("DELETE", &format!("/api/v1/webhooks/{id}"))).map(|_| ())
    }

    /// Deliveries to a webhook, newest first, at most `count`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn deliveries(&self, webhook: i64, count: u32) -> Result<Vec<Delivery>, ClientError> {
        let path = format!("/api/v1/webhooks/{webhook}/deliveries?limit={count}");
        Ok(self.get::<Page<Delivery>>(&path)?.items)
    }

    /// What is set for every device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn fleet_configuration(&self) -> Result<Vec<ConfigItem>, ClientError> {
        self.get("/api/v1/configuration")
    }

    /// What counts for a device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn configuration(&self, device: &str) -> Result<DeviceConfiguration, ClientError> {
        self.get(&device_path(device, "/configuration"))
    }

    /// Sets a value for a device, or for every device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_config(
        &self,
        device: Option<&str>,
        key: &str,
        value: &SetConfig,
    ) -> Result<ConfigItem, ClientError> {
        self.call("PUT", &config_path(device, key), value)
    }

    /// Removes a value of a device, or one for every device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remove_config(&self, device: Option<&str>, key: &str) -> Result<(), ClientError> {
        self.send(Outgoing::new("DELETE", &config_path(device, key))).map(|_| ())
    }
}

fn config_path(device: Option<&str>, key: &str) -> String {
    let rest = format!("/configuration/{}", escaped(key));
    device.map_or_else(|| format!("/api/v1{rest}"), |device| device_path(device, &rest))
}
