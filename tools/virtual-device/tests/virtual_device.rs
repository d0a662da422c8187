//! Claims about provisioning and running a virtual device. Those that need QEMU skip aloud without it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bulkhead_device_identity::{Identity, IdentityError, ServerKeys};
use bulkhead_virtual_device::*;

const SIGNING: [[u8; 32]; 1] = [[9; 32]];

fn provisioning(overwrite: Overwrite) -> Provisioning<'static> {
    let identity = Identity {
        device_private_key: [1; 32],
        storage_root: [2; 32],
        entropy_seed: [3; 32],
        realm_id: [4; 16],
        server_keys: ServerKeys { current: [5; 32], next: None },
        server_host: HOST_AS_SEEN_BY_GUEST,
        server_port: 7443,
        signing_keys: &SIGNING,
        claim_token: [7; 16],
    };
    Provisioning { identity, overwrite }
}

/// An ELF file with a vector table and an endless loop: the least that QEMU runs.
fn idle_image(folder: &Path) -> std::path::PathBuf {
    const BASE: u32 = 0x1000_0000;
    let mut code = vec![0_u8; 64];
    code[..4].copy_from_slice(&0x3800_1000_u32.to_le_bytes());
    code[4..8].copy_from_slice(&(BASE + 0x21).to_le_bytes());
    code[0x20..0x22].copy_from_slice(&0xE7FE_u16.to_le_bytes());
    // ELF32, little-endian, executable, Arm, one program header behind the file header.
    let mut image = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0".to_vec();
    for word in [1, BASE + 0x21, 52, 0, 0x0500_0200, 0x0020_0034, 0x0000_0001, 0] {
        image.extend(u32::to_le_bytes(word));
    }
    for word in [1, 84, BASE, BASE, 64, 64, 5, 4] {
        image.extend(u32::to_le_bytes(word));
    }
    image.extend(code);
    let path = folder.join("idle.elf");
    fs::write(&path, image).unwrap();
    path
}

fn has_qemu() -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: qemu-system-arm is not installed");
    }
    found
}

#[test]
fn a_provisioned_memory_is_erased_but_for_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    let id = provision(&path, &provisioning(Overwrite::Never)).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 16 << 20);
    let record = Identity::parse(&bytes[0x11_0000..]).unwrap();
    assert_eq!(record, provisioning(Overwrite::Never).identity);
    assert_eq!(record.device_id(), id);
    assert_eq!(read_identity(&path, |identity| identity.device_id()).unwrap(), id);
    for (from, to) in [(0, 0x11_0000), (0x11_0400, 0x11_6000), (0x20_0000, 0x30_0000), (0x80_0000, 16 << 20)]
    {
        assert!(bytes[from..to].iter().all(|b| *b == 0xFF), "{from:#x} to {to:#x} is not erased");
    }
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(metadata.blocks() * 512 < 12 << 20, "the unused parts take room");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn an_existing_file_is_only_replaced_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    fs::write(&path, "precious").unwrap();
    let refused = provision(&path, &provisioning(Overwrite::Never)).unwrap_err();
    assert!(matches!(refused, Error::Exists(_)), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    provision(&path, &provisioning(Overwrite::Replace)).unwrap();
    assert!(read_identity(&path, |_| ()).is_ok());
}

#[test]
fn an_impossible_identity_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    let mut wrong = provisioning(Overwrite::Never);
    wrong.identity.server_host = "http://server";
    let refused = provision(&path, &wrong).unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::Server)), "{refused}");
    assert!(!path.exists());
    let nowhere = folder.path().join("none/a.nvm");
    assert!(
        provision(&nowhere, &provisioning(Overwrite::Never)).unwrap_err().to_string().contains("none/a.nvm")
    );
}

#[test]
fn a_file_that_is_no_memory_is_refused_with_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    fs::write(&path, "short").unwrap();
    let image = idle_image(folder.path());
    for text in [
        read_identity(&path, |_| ()).unwrap_err().to_string(),
        Qemu::new(image, &path).start().unwrap_err().to_string(),
    ] {
        assert!(text.contains("5 bytes instead of 16777216"), "{text}");
    }
    let text = Qemu::new(folder.path().join("no.elf"), &path).start().unwrap_err().to_string();
    assert!(text.contains("no.elf") && text.contains("cargo xtask image mps2-an505"), "{text}");
}

#[test]
fn a_comma_in_a_path_does_not_end_the_argument() {
    let qemu = Qemu::new("h.elf", "/tmp/a,b.nvm")
        .console(Serial::File("c,d.log".into()))
        .gdb(Gdb::PortAndWait(3333));
    let arguments = qemu.count_instructions(0).arguments().join(" ");
    assert!(arguments.contains("mem-path=/tmp/a,,b.nvm,share=on"), "{arguments}");
    assert!(arguments.contains("path=c,,d.log,append=on"), "{arguments}");
    assert!(arguments.ends_with("-icount shift=0 -gdb tcp:127.0.0.1:3333 -S"), "{arguments}");
}

#[test]
fn one_device_at_a_time_runs_on_a_memory_and_kill_frees_it() {
    if !has_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    provision(&path, &provisioning(Overwrite::Never)).unwrap();
    let qemu =
        Qemu::new(idle_image(folder.path()), &path).console(Serial::File(folder.path().join("console")));
    let mut first = qemu.start().unwrap();
    assert!(matches!(qemu.start(), Err(Error::InUse(_))));
    let missing = first.wait_for_line("never said", Duration::from_millis(300)).unwrap_err();
    assert!(matches!(missing, Error::NotSeen { .. }), "{missing}");
    first.still_runs().unwrap();
    assert!(first.try_wait().unwrap().is_none());
    first.kill();
    drop(qemu.start().unwrap());
    qemu.start().unwrap();
}

#[test]
fn what_qemu_says_before_it_ends_is_passed_on() {
    if !has_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    provision(&path, &provisioning(Overwrite::Never)).unwrap();
    let nowhere = Serial::File(folder.path().join("none/console"));
    let mut running = Qemu::new(idle_image(folder.path()), &path).console(nowhere).start().unwrap();
    let ended = running.wait_for_line("anything", Duration::from_secs(10)).unwrap_err();
    assert!(matches!(&ended, Error::Ended { stderr, .. } if stderr.contains("none/console")), "{ended}");
    assert!(matches!(running.still_runs(), Err(Error::Ended { .. })));
}

#[test]
fn each_device_gets_secrets_of_its_own() {
    let (a, b) = (DeviceSecrets::generate().unwrap(), DeviceSecrets::generate().unwrap());
    let keys = [&a, &b].map(|s| [s.device_private_key, s.storage_root, s.entropy_seed]);
    let mut all: Vec<_> = keys.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6, "a secret was drawn twice");
    assert!(all.iter().all(|key| *key != [0; 32]));
    assert_ne!(a.claim_token, b.claim_token);
}

#[test]
fn an_application_console_is_there_before_the_device_starts() {
    if !has_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nvm");
    provision(&path, &provisioning(Overwrite::Never)).unwrap();
    let socket = folder.path().join("application");
    let qemu = Qemu::new(idle_image(folder.path()), &path);
    assert!(matches!(qemu.start().unwrap().application(), Err(Error::NoApplicationConsole)));
    let qemu = qemu.application_console(Serial::Socket(socket));
    // Twice: the socket of the first run must not be mistaken for that of the second.
    for _ in 0..2 {
        let mut running = qemu.start().unwrap();
        let application = running.application().unwrap();
        application.send(b"x").unwrap();
        let missing = application.wait_for_line("never said", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(missing, Error::NotSeen { .. }), "{missing}");
    }
    let nowhere = qemu.application_console(Serial::Socket(folder.path().join("none/application")));
    let ended = nowhere.start().unwrap_err();
    assert!(matches!(&ended, Error::Ended { stderr, .. } if stderr.contains("none/application")), "{ended}");
}
