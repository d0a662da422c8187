//! Messages and webhooks.

use bulkhead_cloud_api::{
    DeliveryState, MESSAGE_LEN_MAX, Message as ApiMessage, MessageDirection, NewWebhook,
    SendMessage as ApiSendMessage, Timestamp, to_base64,
};
use bulkhead_cloud_client::MessageQuery;

use super::Session;
use crate::arguments_application::{Message, SendMessage, Webhook};
use crate::failure::Failure;
use crate::files::read_at_most;
use crate::output::{ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: Message) -> Result<(), Failure> {
    match command {
        Message::Send(send) => self::send(session, &send),
        Message::Ls { device, count, from_device, to_device } => {
            let direction = match (from_device, to_device) {
                (true, _) => Some(MessageDirection::FromDevice),
                (false, true) => Some(MessageDirection::ToDevice),
                (false, false) => None,
            };
            let query = MessageQuery { device, direction, state: None, count };
            let messages = session.client()?.messages(&query)?;
            if messages.is_empty() {
                session.output.note("no messages; send one with `bulkhead message send`");
            }
            session.output.data(&messages, || rows(&messages));
            Ok(())
        }
        Message::Listen { device } => {
            let mut messages = session.client()?.follow_messages(device.as_deref());
            messages.open()?;
            let from = device.as_deref().map_or_else(|| "all devices".into(), harmless);
            session.output.began("listening", &format!("listening for messages of {from}"));
            for message in messages {
                let message = message?;
                session.output.item(&message, || {
                    let (at, id) = (message.created_at, message.device_id);
                    format!("{at} {id} topic {} {}", message.topic, content(&message))
                });
            }
            Ok(())
        }
    }
}

fn send(session: &Session<'_>, send: &SendMessage) -> Result<(), Failure> {
    let body = match &send.file {
        Some(path) => Some(to_base64(&read_at_most(path, MESSAGE_LEN_MAX, "a message")?)),
        None => None,
    };
    let message =
        ApiSendMessage { topic: send.topic, body, text: send.text.clone(), expires_in_s: send.expires_in };
    let key = send.idempotency_key.as_deref();
    let queued = session.client()?.send_message(&send.device, &message, key)?;
    session.output.data(&queued, || {
        let (id, state) = (queued.id, queued.state.as_str());
        vec![format!("message {id} is {state}; see `bulkhead message ls {}`", harmless(&send.device))]
    });
    Ok(())
}

fn rows(messages: &[ApiMessage]) -> Vec<String> {
    let now = Timestamp::now();
    let rows: Vec<_> = messages
        .iter()
        .map(|message| {
            let way = match message.direction {
                MessageDirection::FromDevice => "from",
                MessageDirection::ToDevice => "to",
            };
            vec![
                message.id.to_string(),
                format!("{way} {}", message.device_id),
                message.topic.to_string(),
                message.state.as_str().to_owned(),
                ago(message.created_at, now),
                content(message),
            ]
        })
        .collect();
    table(&["NUMBER", "DEVICE", "TOPIC", "STATE", "MADE", "MESSAGE"], &rows)
}

/// The text of a message, or its bytes in base64.
fn content(message: &ApiMessage) -> String {
    message.text.as_deref().map_or_else(|| format!("base64:{}", message.body), harmless)
}

pub(crate) fn webhook(session: &Session<'_>, command: Webhook) -> Result<(), Failure> {
    let client = session.client()?;
    match command {
        Webhook::New { url } => {
            let made = client.create_webhook(&NewWebhook { url })?;
            session.output.note("this secret is shown once:");
            session.output.data(&made, || vec![made.secret.clone()]);
        }
        Webhook::Ls => {
            let webhooks = client.webhooks()?;
            let now = Timestamp::now();
            session.output.data(&webhooks, || {
                let rows: Vec<_> = webhooks
                    .iter()
                    .map(|webhook| {
                        let made = ago(webhook.created_at, now);
                        vec![
                            webhook.id.to_string(),
                            harmless(&webhook.url),
                            made,
                            harmless(&webhook.created_by),
                        ]
                    })
                    .collect();
                table(&["NUMBER", "ADDRESS", "MADE", "BY"], &rows)
            });
        }
        Webhook::Rm { id } => {
            client.delete_webhook(id)?;
            session.output.note(&format!("webhook {id} is removed"));
        }
        Webhook::Deliveries { id, count } => {
            let deliveries = client.deliveries(id, count)?;
            session.output.data(&deliveries, || {
                let rows: Vec<_> = deliveries
                    .iter()
                    .map(|delivery| {
                        let state = match delivery.state {
                            DeliveryState::Pending => "pending",
                            DeliveryState::Delivered => "delivered",
                            DeliveryState::Failed => "failed",
                        };
                        let status = delivery.last_status.map(|status| status.to_string());
                        let answer = status.or(delivery.last_error.as_deref().map(harmless));
                        vec![
                            delivery.id.to_string(),
                            delivery.message_id.to_string(),
                            state.to_owned(),
                            delivery.attempts.to_string(),
                            delivery.next_attempt_at.map(|at| at.to_string()).unwrap_or_default(),
                            answer.unwrap_or_default(),
                        ]
                    })
                    .collect();
                table(&["NUMBER", "MESSAGE", "STATE", "ATTEMPTS", "NEXT", "LAST ANSWER"], &rows)
            });
        }
    }
    Ok(())
}
