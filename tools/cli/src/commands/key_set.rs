//! Key sets: made and signed offline, passed from root to root, pushed by whoever has the file.

use std::path::{Path, PathBuf};

use bulkhead_bundle_format::{
    BundleSigner, KeySetFields, KeySetRefused, SIGNED_KEY_SET_LEN_MAX, SignedKeySet, encode_key_set, key_id,
    sign_key_set,
};
use bulkhead_cloud_api::{KeySet as ApiKeySet, KeySetSigner, Timestamp, to_hex};
use serde_json::json;

use super::Session;
use super::key::{load, public};
use crate::arguments_key::{KeySet, NewKeySet};
use crate::failure::{ExitCode, Failure};
use crate::output::{harmless, table};

const MICROS_PER_SECOND: i64 = 1_000_000;

pub(crate) fn run(session: &Session<'_>, command: KeySet) -> Result<(), Failure> {
    match command {
        KeySet::New(new) => make(session, &new),
        KeySet::Sign { file, keys } => sign(session, &file, &keys),
        KeySet::Show { file } => show(session, &read(&file)?),
        KeySet::Push { file } => {
            let pushed = session.client()?.push_key_set(read(&file)?)?;
            session.output.data(&pushed, || {
                let version = pushed.version;
                vec![format!("key set {version} is offered to every device; see `bulkhead device ls`")]
            });
            Ok(())
        }
        KeySet::Ls => list(session),
    }
}

fn make(session: &Session<'_>, new: &NewKeySet) -> Result<(), Failure> {
    let roots = new.roots.iter().map(|text| public(text)).collect::<Result<Vec<_>, _>>()?;
    let signers = new.signers.iter().map(|text| signer(text)).collect::<Result<Vec<_>, _>>()?;
    let fields = KeySetFields {
        version: new.version,
        made_at_s: seconds(Timestamp::now()),
        threshold: new.threshold,
        roots: &roots,
        signers: &signers,
    };
    let set = encode_key_set(&fields).map_err(refused)?;
    if new.output.exists() {
        let what = format!("{} exists already", new.output.display());
        return Err(Failure::new(ExitCode::File, what, "choose another file with --output"));
    }
    write(&new.output, &set)?;
    session
        .output
        .note("nobody has signed it yet: `bulkhead key set sign`, once for each root that is needed");
    show(session, &set)
}

fn sign(session: &Session<'_>, file: &Path, keys: &[PathBuf]) -> Result<(), Failure> {
    let mut set = read(file)?;
    let signers = if keys.is_empty() {
        vec![load(None)?]
    } else {
        keys.iter().map(|key| load(Some(key))).collect::<Result<Vec<_>, _>>()?
    };
    for signer in &signers {
        set = sign_key_set(&set, signer).map_err(refused)?;
    }
    write(file, &set)?;
    show(session, &set)
}

fn show(session: &Session<'_>, set: &[u8]) -> Result<(), Failure> {
    let signed = SignedKeySet::parse(set).map_err(refused)?;
    let tally = signed.count_all(&[]).map_err(refused)?;
    let by: Vec<_> = signed.key_ids().map(|id| to_hex(id)).collect();
    let set = &signed.set;
    let signers: Vec<_> = set.signers().map(described).collect();
    let (of_its_own, threshold) = (tally.new_roots(), set.threshold);
    let roots: Vec<_> = set.roots.iter().map(|key| to_hex(key)).collect();
    let document = json!({
        "version": set.version, "made_at": moment(set.made_at_s), "threshold": threshold, "roots": roots,
        "signers": signers, "signed_by": by, "signed_by_own_roots": of_its_own,
    });
    session.output.data(&document, || {
        let mut lines = vec![format!("key set {}, made {}", set.version, moment(set.made_at_s))];
        for key in set.roots {
            let has = if by.contains(&to_hex(&key_id(key))) { ", has signed" } else { "" };
            lines.push(format!("root    {}{has}", to_hex(key)));
        }
        lines.extend(signers.iter().map(signer_line));
        lines.push(format!("signed by {of_its_own} of its own roots, {threshold} are needed"));
        let others = by.len().saturating_sub(usize::try_from(of_its_own).unwrap_or(0));
        if others > 0 {
            lines.push(format!("and by {others} other keys, as roots of the set before it have to"));
        }
        lines
    });
    Ok(())
}

fn list(session: &Session<'_>) -> Result<(), Failure> {
    let sets = session.client()?.key_sets()?;
    if sets.is_empty() {
        session
            .output
            .note("no key sets yet: devices take bundles signed by the keys they were provisioned with");
    }
    session.output.data(&sets, || {
        let rows: Vec<_> = sets.iter().map(row).collect();
        table(&["VERSION", "ROOTS", "NEEDED", "SIGNERS", "PUSHED", "BY"], &rows)
    });
    Ok(())
}

fn row(set: &ApiKeySet) -> Vec<String> {
    vec![
        set.version.to_string(),
        set.roots.len().to_string(),
        set.threshold.to_string(),
        set.signers.len().to_string(),
        set.pushed_at.to_string(),
        harmless(&set.pushed_by),
    ]
}

fn signer_line(signer: &KeySetSigner) -> String {
    let ends = signer.not_after.map_or(String::new(), |at| format!(", until {at}"));
    format!("signer  {}{ends}", signer.key)
}

fn described(signer: &BundleSigner) -> KeySetSigner {
    KeySetSigner { key: to_hex(&signer.key), not_after: signer.not_after_s.map(moment) }
}

/// Reads `KEY` or `KEY@2027-06-30`, which ends with that day.
fn signer(text: &str) -> Result<BundleSigner, Failure> {
    let day = |date: &str| format!("{date}T23:59:59Z").parse::<Timestamp>().ok();
    match text.rsplit_once('@').map(|(key, date)| (key, date, day(date))) {
        Some((key, _, Some(last))) => {
            Ok(BundleSigner { key: public(key)?, not_after_s: Some(seconds(last)) })
        }
        // A file's name may have the sign in it too.
        Some((_, date, None)) if !Path::new(text).exists() => {
            let what = format!("`{date}` behind a signer's key is no day");
            Err(Failure::new(
                ExitCode::File,
                what,
                "write the last day as year, month and day: KEY@2027-06-30",
            ))
        }
        Some((_, _, None)) | None => Ok(BundleSigner { key: public(text)?, not_after_s: None }),
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.0 / MICROS_PER_SECOND).unwrap_or(0)
}

fn moment(seconds: u64) -> Timestamp {
    Timestamp(0).plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let len = std::fs::metadata(file).map_err(|error| Failure::file("read", file, &error))?.len();
    if len > SIGNED_KEY_SET_LEN_MAX as u64 {
        return Err(refused(KeySetRefused::TooLong));
    }
    std::fs::read(file).map_err(|error| Failure::file("read", file, &error))
}

/// Writes beside the file first, so that a failure leaves what was signed so far.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fresh = file.with_added_extension("new");
    std::fs::write(&fresh, bytes)
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|error| Failure::file("write", file, &error))
}

fn refused(refused: KeySetRefused) -> Failure {
    let next = match refused {
        KeySetRefused::Keys => "give 1 to 8 different roots and 1 to 8 different signers",
        KeySetRefused::Threshold => "give a threshold of at least 1 and at most the number of roots",
        KeySetRefused::Version => "give --version 1 for the first set, one more for each that follows",
        _ => "give a file that `bulkhead key set new` or `sign` wrote",
    };
    Failure::new(ExitCode::File, refused.to_string(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_may_have_a_last_day() {
        let key = "11".repeat(32);
        assert_eq!(signer(&key).unwrap(), BundleSigner { key: [0x11; 32], not_after_s: None });
        let ends = signer(&format!("{key}@2027-06-30")).unwrap();
        assert_eq!(ends, BundleSigner { key: [0x11; 32], not_after_s: Some(1_814_399_999) });
        for wrong in ["soon", "2027-13-45", ""] {
            let failure = signer(&format!("{key}@{wrong}")).unwrap_err();
            assert!(failure.what.contains("is no day"), "{}", failure.what);
        }
    }
}
