//! Files for VS Code with the cortex-debug extension.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::GDB;
use crate::arguments::Debug;
use crate::commands::Session;
use crate::failure::{ExitCode, Failure};

const FOLDER: &str = ".vscode";

/// Writes `launch.json` and `tasks.json`. A file that is there already is somebody's: it is not touched.
pub(super) fn write(session: &Session<'_>, debug: &Debug) -> Result<(), Failure> {
    if debug.port == 0 {
        let what = "the editor has to know the port before the server begins";
        return Err(Failure::new(ExitCode::Machine, what, "leave --port away, or give one that is not 0"));
    }
    let folder = Path::new(FOLDER);
    let files = [("launch.json", launch(debug)), ("tasks.json", tasks(debug))];
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        let what = format!("{} is there already", there.display());
        let text =
            files.iter().map(|(name, value)| format!("{name}:\n{value:#}")).collect::<Vec<_>>().join("\n");
        return Err(Failure::new(ExitCode::File, what, format!("move it away, or add to it:\n{text}")));
    }
    fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    for (path, (_, value)) in paths.iter().zip(&files) {
        fs::write(path, format!("{value:#}\n")).map_err(|error| Failure::file("write", path, &error))?;
    }
    session.output.data(&json!({ "files": paths }), || {
        vec![
            format!("launch.json and tasks.json written to {FOLDER}"),
            "install the extension `marus25.cortex-debug`, then press F5".into(),
        ]
    });
    Ok(())
}

fn program(debug: &Debug) -> String {
    let path = debug.elf.clone().unwrap_or_default();
    if path.is_absolute() {
        path.display().to_string()
    } else {
        format!("${{workspaceFolder}}/{}", path.display())
    }
}

fn label(debug: &Debug) -> String {
    format!("bulkhead debug {}", debug.device)
}

fn launch(debug: &Debug) -> Value {
    json!({
        "version": "0.2.0",
        "configurations": [{
            "name": format!("{} (Bulkhead)", debug.device),
            "type": "cortex-debug",
            "request": "attach",
            "servertype": "external",
            "gdbTarget": format!("127.0.0.1:{}", debug.port),
            "gdbPath": GDB,
            "executable": program(debug),
            "cwd": "${workspaceFolder}",
            "preLaunchTask": label(debug),
            "preAttachCommands": [super::PATIENCE],
            // The server of the extension's own choice would reset a probe that is not there.
            "overrideAttachCommands": [],
            "overrideResetCommands": ["monitor reset halt", "maintenance flush register-cache"],
            "overrideRestartCommands": ["monitor reset halt", "maintenance flush register-cache"],
            "liveWatch": { "enabled": true, "samplesPerSecond": 2 }
        }]
    })
}

fn tasks(debug: &Debug) -> Value {
    let mut arguments = vec![
        "debug".to_owned(),
        debug.device.clone(),
        "--port".into(),
        debug.port.to_string(),
        "--elf".into(),
        program(debug),
    ];
    for (option, path) in [("--key", &debug.key), ("--signing-key", &debug.signing_key)] {
        if let Some(path) = path {
            arguments.extend([option.to_owned(), path.display().to_string()]);
        }
    }
    json!({
        "version": "2.0.0",
        "tasks": [{
            "label": label(debug),
            "type": "process",
            "command": "bulkhead",
            "args": arguments,
            "isBackground": true,
            "problemMatcher": {
                // The editor wants a file for every problem, and this one has none.
                "pattern": { "kind": "file", "regexp": "^(error): (.*)$", "file": 1, "severity": 1, "message": 2 },
                "background": {
                    "activeOnStart": true,
                    "beginsPattern": "^begins$",
                    "endsPattern": "^GDB server for .*"
                }
            }
        }]
    })
}
