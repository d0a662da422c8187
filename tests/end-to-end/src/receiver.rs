//! The other side of a webhook: takes posts, checks their signatures, refuses as many as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use bulkhead_cloud_api::{WebhookPost, to_hex};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest body that is read.
const BODY_LEN_MAX: usize = 64 * 1024;

/// A post as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// What it told.
    pub post: WebhookPost,
    /// Its header `Bulkhead-Signature`.
    pub signature: String,
    /// Its body, as it was signed.
    pub body: Vec<u8>,
    /// Whether it was answered with a failure.
    pub refused: bool,
}

/// Listens as long as the process lives.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where to post to.
    pub url: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    /// Starts one that answers the first `failures` posts with 503.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(failures: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let kept = Arc::clone(&posts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let refused = kept.lock().unwrap_or_else(PoisonError::into_inner).len() < failures;
                // A post that cannot be read is not answered: its sender tries again.
                if let Ok(post) = take(stream, refused) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(post);
                }
            }
        });
        Ok(Self { url, posts })
    }

    /// Every post so far.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Post {
    /// Whether it is signed with `secret`.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let Some((time, _)) = self.signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1="))
        else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        self.signature == format!("t={time},v1={}", to_hex(&mac.finalize().into_bytes()))
    }
}

fn take(mut stream: TcpStream, refused: bool) -> Result<Post> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "bulkhead-signature" => signature = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().context("no length")?,
            _ => {}
        }
    }
    let mut body = vec![0; length.min(BODY_LEN_MAX)];
    reader.read_exact(&mut body)?;
    let status = if refused { "503 Service Unavailable" } else { "204 No Content" };
    stream.write_all(
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes(),
    )?;
    let post = serde_json::from_slice(&body).context("no post of a webhook")?;
    Ok(Post { post, signature, body, refused })
}
