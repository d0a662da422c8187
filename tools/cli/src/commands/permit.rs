//! Permits: one device, once, to one older bundle.

use bulkhead_bundle_format::{Permit, sign_permit};
use bulkhead_cloud_api::{DeviceId, ManifestDigest, to_hex};
use serde_json::json;

use super::Session;
use super::key::load;
use crate::arguments_key::MakePermit;
use crate::failure::{ExitCode, Failure};

pub(crate) fn make(session: &Session<'_>, make: &MakePermit) -> Result<(), Failure> {
    let signer = load(make.key.as_deref())?;
    let permit = match (make.device.parse::<DeviceId>(), make.manifest.parse::<ManifestDigest>(), make.number)
    {
        (Ok(device), Ok(manifest), Some(number)) => {
            Permit { device_id: device.0, manifest: manifest.0, number }
        }
        _ => ask(session, make)?,
    };
    let signed = sign_permit(&permit, &signer);
    super::key_set::write(&make.output, &signed)?;
    let (device, manifest) = (DeviceId(permit.device_id), ManifestDigest(permit.manifest));
    let document = json!({
        "file": make.output, "device_id": device, "manifest": manifest, "number": permit.number,
        "permit": to_hex(&signed),
    });
    session.output.data(&document, || {
        let number = permit.number;
        vec![format!("{device} may go back to {manifest}, once; it is the device's permit number {number}")]
    });
    Ok(())
}

/// Asks the server for what was not given in full.
fn ask(session: &Session<'_>, make: &MakePermit) -> Result<Permit, Failure> {
    let client = session.client()?;
    let device = client.device(&make.device)?;
    let manifest = client.bundle(&make.manifest)?.manifest.0;
    let told = device.reported.and_then(|reported| reported.floors).map(|floors| floors.permits);
    let Some(number) = make.number.or(told) else {
        let what = format!("the server does not know how many permits {} has used up", make.device);
        let next = "connect the device once, or give --number";
        return Err(Failure::new(ExitCode::Refused, what, next));
    };
    Ok(Permit { device_id: device.id.0, manifest, number })
}
