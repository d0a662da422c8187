//! What a bundle is, in lines for a person.

use bulkhead_cloud_api::{Bundle, BundlePolicy};

use crate::output::{duration, harmless};

/// Everything about one bundle.
pub(crate) fn lines(bundle: &Bundle) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
    line("name", harmless(&bundle.name));
    line("version", harmless(&bundle.version));
    line("manifest", bundle.manifest.to_string());
    line("sequence", bundle.sequence.to_string());
    let (least, greatest) = (bundle.board_revision_min, bundle.board_revision_max);
    line("for", format!("{}, revisions {least} to {greatest}", harmless(&bundle.device_class)));
    line("ABI", format!("{} to {}", bundle.abi_min, bundle.abi_max));
    line("size", format!("{} B in areas, {} B of envelope", bundle.size_bytes, bundle.envelope_len));
    for area in &bundle.areas {
        let kind = if area.kind.is_empty() { String::new() } else { format!(", {}", harmless(&area.kind)) };
        let span = format!("{}:{:#x}+{:#x}", harmless(&area.medium), area.base, area.length);
        line(&format!("area {}", area.id), format!("{span}{kind}"));
    }
    line("updates", politeness(&bundle.policy));
    line("trial", trial(&bundle.policy));
    if bundle.policy.gives_up_owned {
        line("gives up", "areas that the version before it owns".into());
    }
    lines
}

/// How updates are applied while this bundle runs.
pub(crate) fn politeness(policy: &BundlePolicy) -> String {
    match policy.postpone_max_s {
        None => "polite".into(),
        Some(0) => "immediate".into(),
        Some(seconds) => format!("polite, at most {}", duration(seconds)),
    }
}

fn trial(policy: &BundlePolicy) -> String {
    let mut words = vec![match policy.trial_window_s {
        Some(seconds) => format!("{} without a fault", duration(seconds)),
        None => "the device's time without a fault".into(),
    }];
    if policy.confirm {
        words.push("confirmed by the application".into());
    }
    if let Some(boots) = policy.trial_boots {
        words.push(format!("within {boots} starts"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn politeness_is_told_as_it_was_asked_for() {
        let of = |postpone_max_s| politeness(&BundlePolicy { postpone_max_s, ..BundlePolicy::default() });
        assert_eq!(of(None), "polite");
        assert_eq!(of(Some(0)), "immediate");
        assert_eq!(of(Some(7200)), "polite, at most 2 h");
        assert_eq!(of(Some(90)), "polite, at most 90 s");
    }
}
