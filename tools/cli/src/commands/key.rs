//! The key that signs an owner's bundles, and the one by which a developer debugs. Neither leaves this machine.

use std::path::{Path, PathBuf};

use bulkhead_bundle_builder::{
    KeyError, OpenKey, Signer, generate_debug_key_sealed, generate_key_sealed, load_debug_key,
    load_debug_key_sealed, load_key, load_key_sealed, parse_public_debug_key, parse_public_key,
    write_public_debug_key, write_public_key,
};
use bulkhead_device_identity::public_key;
use serde_json::json;

use super::{Session, passphrase};
use crate::arguments_key::Key;
use crate::config::{home, make_private_folder};
use crate::failure::{ExitCode, Failure};

pub(crate) fn run(session: &Session<'_>, command: Key) -> Result<(), Failure> {
    match command {
        Key::Generate { output, debug: true, passphrase } => generate_debug(session, output, passphrase),
        Key::Show { key, debug: true } => {
            let opened = load_debug(key.as_deref())?;
            show_debug(session, &debug_path_or_default(key.as_deref())?, &opened);
            Ok(())
        }
        Key::Generate { output, debug: false, passphrase } => generate(session, output, passphrase),
        Key::Show { key, debug: false } => {
            let signer = load(key.as_deref())?;
            show(session, &path_or_default(key.as_deref())?, &signer);
            Ok(())
        }
        Key::Passphrase { key, debug, remove } => {
            let key = key.as_deref();
            let path = if debug { debug_path(key)? } else { signing_path(key)? };
            change_passphrase(session, &path, remove)
        }
        Key::Set(command) => super::key_set::run(session, command),
        Key::Permit(permit) => super::permit::make(session, &permit),
    }
}

fn generate(session: &Session<'_>, output: Option<PathBuf>, sealed: bool) -> Result<(), Failure> {
    let path = path_or_default(output.as_deref())?;
    if output.is_none() {
        make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    must_be_free(&path)?;
    let passphrase = sealed.then(|| passphrase::choose(&path)).transpose()?;
    let signer = generate_key_sealed(&path, passphrase.as_deref()).map_err(failed)?;
    session.output.note(&format!(
        "signing key written to {}; keep a copy offline: devices accept bundles of this key alone",
        path.display()
    ));
    show(session, &path, &signer);
    Ok(())
}

fn change_passphrase(session: &Session<'_>, path: &Path, remove: bool) -> Result<(), Failure> {
    let key = match OpenKey::open(path, None) {
        Err(KeyError::Sealed(_)) => OpenKey::open(path, Some(&passphrase::ask(path)?)),
        other => other,
    };
    let key = key.map_err(failed)?;
    let new = if remove { None } else { Some(passphrase::choose_another(path)?) };
    key.replace(path, new.as_deref()).map_err(failed)?;
    let now = if remove { "under no pass phrase" } else { "under the new pass phrase" };
    session.output.note(&format!("{} is {now}; copies of it are as they were", path.display()));
    Ok(())
}

/// Refuses a path where a key is already, before a pass phrase is asked for in vain.
fn must_be_free(path: &Path) -> Result<(), Failure> {
    if path.exists() { Err(failed(KeyError::Exists(path.to_path_buf()))) } else { Ok(()) }
}

fn show(session: &Session<'_>, path: &Path, signer: &Signer) {
    let public = write_public_key(&signer.public_key());
    session.output.data(&json!({ "file": path, "public_key": public }), || vec![public.clone()]);
}

/// The signing key in `path`, or in its usual place.
pub(crate) fn load(path: Option<&Path>) -> Result<Signer, Failure> {
    load_opened(&signing_path(path)?)
}

/// Where a signing key is that was made before: in `path`, or in its usual place.
fn signing_path(path: Option<&Path>) -> Result<PathBuf, Failure> {
    let chosen = path_or_default(path)?;
    if path.is_none() && !chosen.exists() {
        let what = format!("there is no signing key at {}", chosen.display());
        return Err(Failure::new(ExitCode::File, what, "make one with `bulkhead key generate`"));
    }
    Ok(chosen)
}

/// A signing key; its pass phrase is asked for if it is under one.
fn load_opened(path: &Path) -> Result<Signer, Failure> {
    match load_key(path) {
        Err(KeyError::Sealed(_)) => load_key_sealed(path, Some(&passphrase::ask(path)?)).map_err(failed),
        other => other.map_err(failed),
    }
}

/// A debug key, likewise.
fn load_debug_opened(path: &Path) -> Result<[u8; 32], Failure> {
    match load_debug_key(path) {
        Err(KeyError::Sealed(_)) => {
            load_debug_key_sealed(path, Some(&passphrase::ask(path)?)).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// A public key given as text or as a file that holds it; a private key file will do as well.
pub(crate) fn public(text: &str) -> Result<[u8; 32], Failure> {
    if let Some(key) = parse_public_key(text) {
        return Ok(key);
    }
    let path = Path::new(text);
    let held = std::fs::read_to_string(path).ok();
    if let Some(key) = held.and_then(|held| parse_public_key(&held)) {
        return Ok(key);
    }
    must_be_a_file(text, "")?;
    load_opened(path).map(|signer| signer.public_key())
}

/// What is neither a public key nor a file is told as such, and not as a file that is missing. `kind` is the option of `key
/// show` that prints what is wanted.
fn must_be_a_file(text: &str, kind: &str) -> Result<(), Failure> {
    if Path::new(text).exists() {
        return Ok(());
    }
    let shown = format!(
        "give the line that `bulkhead key show{kind}` prints, as one argument, or a file that holds it"
    );
    let (what, next) = if !text.starts_with("bulkhead-") {
        (format!("`{text}` is neither a public key nor a file"), shown)
    } else if text.contains(' ') {
        (format!("`{text}` is not the public key that is wanted here, or was cut"), shown)
    } else {
        // A public key is two words, and a shell hands over one of them where they are not quoted.
        let what = format!("`{text}` is the first word of a public key, and no file");
        (what, "quote the key: its two words are one argument".into())
    };
    Err(Failure::new(ExitCode::File, what, next))
}

/// Where the signing key is: `path`, or its usual place.
pub(crate) fn path_or_default(path: Option<&Path>) -> Result<PathBuf, Failure> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => Ok(home()?.join("keys").join("signing.key")),
    }
}

fn generate_debug(session: &Session<'_>, output: Option<PathBuf>, sealed: bool) -> Result<(), Failure> {
    let path = debug_path_or_default(output.as_deref())?;
    if output.is_none() {
        make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    must_be_free(&path)?;
    let passphrase = sealed.then(|| passphrase::choose(&path)).transpose()?;
    let key = generate_debug_key_sealed(&path, passphrase.as_deref()).map_err(failed)?;
    let text = "whoever has it can debug every device whose running bundle names it";
    session.output.note(&format!("debug key written to {}; {text}", path.display()));
    show_debug(session, &path, &key);
    Ok(())
}

fn show_debug(session: &Session<'_>, path: &Path, key: &[u8; 32]) {
    let public = write_public_debug_key(&public_key(key));
    session.output.data(&json!({ "file": path, "public_key": public }), || vec![public.clone()]);
}

/// The developer's debug key in `path`, or in its usual place.
pub(crate) fn load_debug(path: Option<&Path>) -> Result<[u8; 32], Failure> {
    load_debug_opened(&debug_path(path)?)
}

/// Where a debug key is that was made before, likewise.
fn debug_path(path: Option<&Path>) -> Result<PathBuf, Failure> {
    let chosen = debug_path_or_default(path)?;
    if path.is_none() && !chosen.exists() {
        let what = format!("there is no debug key at {}", chosen.display());
        let next = "make one with `bulkhead key generate --debug`, and have bundles name it (--debug-key)";
        return Err(Failure::new(ExitCode::File, what, next));
    }
    Ok(chosen)
}

/// A developer's public debug key, given as text or as a file that holds it; a private key file will do as well.
pub(crate) fn public_debug(text: &str) -> Result<[u8; 32], Failure> {
    if let Some(key) = parse_public_debug_key(text) {
        return Ok(key);
    }
    let path = Path::new(text);
    let held = std::fs::read_to_string(path).ok();
    if let Some(key) = held.and_then(|held| parse_public_debug_key(&held)) {
        return Ok(key);
    }
    must_be_a_file(text, " --debug")?;
    load_debug_opened(path).map(|key| public_key(&key))
}

fn debug_path_or_default(path: Option<&Path>) -> Result<PathBuf, Failure> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => Ok(home()?.join("keys").join("debug.key")),
    }
}

pub(super) fn failed(error: KeyError) -> Failure {
    let next = match &error {
        KeyError::Exists(_) => "choose another file with --output, or use the key that is there",
        KeyError::LeftOver(_) => "delete it, then try again",
        KeyError::Readable(_) => "let nobody else read it, then try again",
        KeyError::NotAKey { .. } => "give a file that `bulkhead key generate` wrote, or a public key",
        KeyError::Sealed(_) | KeyError::WrongPassphrase(_) => {
            "give it on the terminal, or in BULKHEAD_PASSPHRASE; without it the key cannot be had back"
        }
        KeyError::UnfitPassphrase => "choose a longer one",
        KeyError::NoRandomness(_) | KeyError::Io { .. } => "check the path and its permissions",
    };
    Failure::new(ExitCode::File, error.to_string(), next)
}
