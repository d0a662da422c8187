//! Bundles.

use std::fs;
use std::path::Path;

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::{
    AreaDifference, BuildError, Confirm, DEBUG_KEYS_MAX, DebugHalt, DebugKeys, Format, Policy, Purpose,
    Release, Reserved, Revisions, build, compare, read_image, used_memory,
};
use bulkhead_cloud_api::{
    BUNDLE_FILE_LEN_MAX, Bundle, FactoryBundle, ManifestDigest, SetFactoryBundle, Timestamp,
};
use bulkhead_cloud_client::Client;
use serde_json::json;

use super::Session;
use crate::arguments::{App, HaltPolicy, MakeBundle, ProgramFormat, Span};
use crate::failure::{ExitCode, Failure};
use crate::files::read_at_most;
use crate::output::{ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: App) -> Result<(), Failure> {
    match command {
        App::Bundle(make) => bundle(session, *make),
        App::Ls => list(session),
        App::Show { bundle } => {
            let known = session.client()?.bundle(&bundle).map_err(|error| {
                let failure = Failure::from(error);
                if failure.code == ExitCode::NotFound && Path::new(&bundle).is_file() {
                    let next = format!("push the file first: `bulkhead app push {bundle}`");
                    return Failure::new(ExitCode::NotFound, failure.what, next);
                }
                failure
            })?;
            session.output.data(&known, || super::bundle::lines(&known));
            Ok(())
        }
        App::Push { file } => {
            let bundle = push(&session.client()?, &file)?;
            session.output.data(&bundle, || vec![describe(&bundle)]);
            Ok(())
        }
        App::Diff { old, new, output } => diff(session, &old, &new, output.as_deref()),
        App::Factory { bundle } => factory(session, bundle),
        App::Pull { bundle, output } => pull(session, &bundle, &output),
    }
}

/// Chooses a factory bundle, or lists those that were chosen.
fn factory(session: &Session<'_>, bundle: Option<String>) -> Result<(), Failure> {
    let client = session.client()?;
    let line = |chosen: &FactoryBundle| {
        let name = chosen.bundle.as_deref().map_or_else(|| chosen.manifest.to_string(), harmless);
        format!(
            "{}: {name}, chosen {} by {}",
            harmless(&chosen.device_class),
            chosen.set_at,
            harmless(&chosen.set_by)
        )
    };
    if let Some(bundle) = bundle {
        let chosen = client.set_factory_bundle(&SetFactoryBundle { bundle })?;
        session.output.data(&chosen, || vec![line(&chosen)]);
        return Ok(());
    }
    let chosen = client.factory_bundles()?;
    if chosen.is_empty() {
        session.output.note("none was chosen; a device without application waits until you deploy to it");
    }
    session.output.data(&chosen, || chosen.iter().map(line).collect());
    Ok(())
}

fn bundle(session: &Session<'_>, make: MakeBundle) -> Result<(), Failure> {
    needs_no_debug_key(&make)?;
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::file("read", path, &error));
    let board = match &make.board {
        Some(path) => Board::parse(&String::from_utf8_lossy(&read(path)?)),
        None => Board::parse(MPS2_AN505),
    };
    let board =
        board.map_err(|error| Failure::new(ExitCode::File, error.to_string(), "mend the description"))?;
    let format = match make.format {
        ProgramFormat::Detect => Format::Detect,
        ProgramFormat::Elf => Format::Elf,
        ProgramFormat::Hex => Format::Hex,
        ProgramFormat::Bin => Format::Bin,
    };
    let start = board.application.region.first().map_or(0, |region| region.base);
    let program = read(&make.program)?;
    let format = format.of(&program);
    if make.address.is_some() && format != Format::Bin {
        let what =
            format!("{} says itself where it is loaded: --address would be ignored", make.program.display());
        return Err(Failure::new(ExitCode::File, what, "leave --address out, or give bare bytes"));
    }
    let image = read_image(&program, format, make.address.unwrap_or(start)).map_err(not_built)?;
    let signer = super::key::load(make.key.as_deref())?;
    let stem = make.program.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = make.name.or(stem).unwrap_or_default();
    let revisions = |(least, greatest): (u32, u32)| Revisions { least, greatest };
    let reserved: Vec<_> =
        reserve(Purpose::Owned, &make.owned).chain(reserve(Purpose::Fill, &make.fill)).collect();
    // Without developers there are no dumps to speak of.
    let crash_memory = match make.debug_keys.as_slice() {
        [] => None,
        _ => super::crash::policy(&board, &make.crash_memory, used_memory(&board, &program))?,
    };
    let release = Release {
        name: &name,
        version: &make.version,
        sequence: make.sequence.unwrap_or_else(seconds_since_1970),
        security_counter: make.security_counter,
        abi: revisions(make.abi),
        board_revisions: revisions(make.board_revisions),
        policy: Policy {
            postpone_max_s: if make.immediate { Some(0) } else { make.polite_max },
            confirm: if make.confirm { Confirm::Application } else { Confirm::Auto },
            trial_window_s: make.trial_window,
            trial_boots: make.trial_boots,
            gives_up_owned: make.give_up_owned,
            debug_keys: debug_keys(&make.debug_keys)?,
            crash_memory,
            debug_halt: match make.debug_halt {
                None | Some(HaltPolicy::Allow) => DebugHalt::Allow,
                Some(HaltPolicy::LogpointsOnly) => DebugHalt::LogpointsOnly,
                Some(HaltPolicy::Never) => DebugHalt::Never,
            },
            debug_silence_s: make.debug_silence,
        },
        reserved: &reserved,
    };
    let made = build(&board, &image, &release, &signer).map_err(not_built)?;
    let output = make.output.unwrap_or_else(|| make.program.with_extension("bundle"));
    fs::write(&output, &made.file).map_err(|error| Failure::file("write", &output, &error))?;
    let manifest = ManifestDigest(made.manifest);
    let document = json!({
        "file": output, "len": made.file.len(), "manifest": manifest, "name": name,
        "version": make.version, "sequence": release.sequence,
    });
    session.output.data(&document, || {
        vec![format!("{} ({} B) {name} {} {manifest}", output.display(), made.file.len(), make.version)]
    });
    Ok(())
}

/// Refuses what is said about developers of whom there are none: it would be without effect, which shows only when a dump
/// or a debugger is needed.
fn needs_no_debug_key(make: &MakeBundle) -> Result<(), Failure> {
    if !make.debug_keys.is_empty() {
        return Ok(());
    }
    let without_effect = [
        (!make.crash_memory.is_empty(), "--crash-memory", "crash dumps are sealed to debug keys"),
        (make.debug_halt.is_some(), "--debug-halt", "only who has a debug key may debug"),
        (make.debug_silence.is_some(), "--debug-silence", "only who has a debug key may debug"),
    ];
    match without_effect.into_iter().find(|(given, ..)| *given) {
        None => Ok(()),
        Some((_, option, why)) => {
            let what = format!("{option} is without effect: {why}, and no --debug-key is given");
            let next = format!(
                "name the developer with --debug-key KEY (`bulkhead key show --debug` prints yours), or leave {option} out"
            );
            Err(Failure::new(ExitCode::CommandLine, what, next))
        }
    }
}

fn debug_keys(texts: &[String]) -> Result<DebugKeys, Failure> {
    let keys = texts.iter().map(|text| super::key::public_debug(text)).collect::<Result<Vec<_>, _>>()?;
    DebugKeys::new(&keys).ok_or_else(|| {
        let what = format!("{} debug keys are more than a bundle can name", keys.len());
        Failure::new(ExitCode::File, what, format!("name at most {DEBUG_KEYS_MAX} developers"))
    })
}

fn reserve(purpose: Purpose, spans: &[Span]) -> impl Iterator<Item = Reserved> {
    spans.iter().map(move |span| {
        let Span { medium, base, length } = *span;
        Reserved { purpose, medium, base, length }
    })
}

fn not_built(error: BuildError) -> Failure {
    Failure::new(ExitCode::File, error.to_string(), "change the program or the options, and bundle it again")
}

fn seconds_since_1970() -> u64 {
    u64::try_from(Timestamp::now().0 / 1_000_000).unwrap_or(1)
}

fn list(session: &Session<'_>) -> Result<(), Failure> {
    let bundles = session.client()?.bundles()?;
    if bundles.is_empty() {
        session.output.note("no bundles yet; push one with `bulkhead app push`");
    }
    let now = Timestamp::now();
    session.output.data(&bundles, || {
        let row = |bundle: &Bundle| {
            vec![
                harmless(&bundle.name),
                harmless(&bundle.version),
                bundle.manifest.to_string().chars().take(12).collect(),
                harmless(&bundle.device_class),
                format!("{} B", bundle.size_bytes),
                bundle.sequence.to_string(),
                super::bundle::politeness(&bundle.policy),
                ago(bundle.pushed_at, now),
            ]
        };
        let rows: Vec<_> = bundles.iter().map(row).collect();
        table(&["NAME", "VERSION", "DIGEST", "CLASS", "SIZE", "SEQUENCE", "UPDATES", "PUSHED"], &rows)
    });
    Ok(())
}

/// Pushes a file. A bundle that the server has already is no failure.
pub(crate) fn push(client: &Client, file: &Path) -> Result<Bundle, Failure> {
    Ok(client.push_bundle(read_at_most(file, BUNDLE_FILE_LEN_MAX, "a bundle")?)?)
}

fn pull(session: &Session<'_>, bundle: &str, output: &Path) -> Result<(), Failure> {
    let file = session.client()?.bundle_file(bundle)?;
    fs::write(output, &file).map_err(|error| Failure::file("write", output, &error))?;
    session.output.data(&json!({ "file": output, "len": file.len() }), || {
        vec![format!("{} ({} B)", output.display(), file.len())]
    });
    Ok(())
}

/// Stands for no bundle: an empty device.
const NOTHING: &str = "-";

fn diff(session: &Session<'_>, old: &Path, new: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::file("read", path, &error));
    let from = if old == Path::new(NOTHING) { None } else { Some(read(old)?) };
    let areas = compare(from.as_deref(), &read(new)?).map_err(|error| {
        Failure::new(ExitCode::File, error.to_string(), "give bundles, as `bulkhead app bundle` wrote them")
    })?;
    if let Some(folder) = output {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
        for (area, patch) in areas.iter().filter_map(|area| Some((area.area, area.patch.as_ref()?))) {
            let path = folder.join(format!("area-{area}.patch"));
            fs::write(&path, patch).map_err(|error| Failure::file("write", &path, &error))?;
        }
    }
    let document: Vec<_> = areas
        .iter()
        .map(|area| {
            json!({
                "area": area.area, "image_bytes": area.image_len, "pages": area.pages,
                "pages_differ": area.pages_differ, "pages_bytes": area.pages_len,
                "patch_bytes": area.patch.as_ref().map(Vec::len), "sent_bytes": area.sent_len(),
            })
        })
        .collect();
    session.output.data(&document, || {
        let bytes = |count: u64| format!("{count} B");
        let mut rows: Vec<_> = areas
            .iter()
            .map(|area| {
                vec![
                    area.area.to_string(),
                    bytes(area.image_len.into()),
                    format!("{} of {}", area.pages_differ, area.pages),
                    bytes(area.pages_len),
                    area.patch.as_ref().map_or("-".to_owned(), |patch| format!("{} B", patch.len())),
                    bytes(area.sent_len()),
                ]
            })
            .collect();
        let sum = |of: fn(&AreaDifference) -> u64| bytes(areas.iter().map(of).sum());
        let total = vec![
            "all".to_owned(),
            sum(|area| area.image_len.into()),
            String::new(),
            sum(|area| area.pages_len),
            String::new(),
            sum(AreaDifference::sent_len),
        ];
        rows.push(total);
        table(&["AREA", "IMAGE", "PAGES THAT DIFFER", "AS PAGES", "AS PATCH", "SENT"], &rows)
    });
    Ok(())
}

fn describe(bundle: &Bundle) -> String {
    format!("{} {} {}", harmless(&bundle.name), harmless(&bundle.version), bundle.manifest)
}
