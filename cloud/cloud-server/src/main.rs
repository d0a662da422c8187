//! bulkhead-server: one binary, no required configuration.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bulkhead_cloud_server::{Config, Server, StartError, make_admin_token, openapi_document};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Bulkhead server: REST API and device gateway in one process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where keys, database and bundles are kept; made on the first start.
    #[arg(long, env = "BULKHEAD_DATA_DIR", default_value = "./bulkhead-data", global = true)]
    data_dir: PathBuf,
    /// Address of the API, plain HTTP; port 0 takes a free one.
    #[arg(long, env = "BULKHEAD_LISTEN", default_value = "127.0.0.1:8420")]
    listen: SocketAddr,
    /// Address of the device gateway; port 0 takes a free one.
    #[arg(long, env = "BULKHEAD_DEVICE_LISTEN", default_value = "127.0.0.1:8421")]
    device_listen: SocketAddr,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What to do instead of serving.
#[derive(Subcommand)]
enum Instead {
    /// Makes another admin token and prints it. The server may run meanwhile.
    AdminToken,
    /// Prints the OpenAPI document.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("BULKHEAD_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let colours =
        std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    match arguments.instead {
        Some(Instead::Openapi) => {
            say(&openapi_document());
            return Ok(());
        }
        Some(Instead::AdminToken) => {
            say(&format!("{}\n", make_admin_token(&arguments.data_dir).await?.secret));
            return Ok(());
        }
        None => {}
    }
    let config = Config {
        data_dir: arguments.data_dir.clone(),
        listen: arguments.listen,
        device_listen: arguments.device_listen,
        limits: bulkhead_device_gateway::Limits::default(),
    };
    let server = Server::start(config).await?;
    let (api, devices) = (server.api_address, server.device_address);
    say(&format!("API      http://{api}\ndevices  {devices}\n"));
    if let Some(first) = &server.first_token {
        say(&format!(
            "\nFirst start. This token is shown once; log in with it:\n  bulkhead login http://{api} --token {}\n",
            first.secret
        ));
    }
    tracing::info!(%api, %devices, data_dir = %arguments.data_dir.display(), "serving");
    wait_for_signal().await;
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

/// Writes to standard output, which may be closed without harm.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
