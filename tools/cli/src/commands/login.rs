//! Who is here.

use std::io::{self, IsTerminal as _};

use bulkhead_cloud_client::{Client, ClientError};

use super::Session;
use crate::arguments::Login;
use crate::config::Config;
use crate::failure::{ExitCode, Failure};

pub(crate) fn login(session: &Session<'_>, login: Login) -> Result<(), Failure> {
    let server = login.url.trim_end_matches('/').to_owned();
    let token = match login.token {
        Some(token) => token,
        None => read_token(session)?,
    };
    let token = token.trim().to_owned();
    // The server is asked before anything is remembered, so that a typing error is told here and not later.
    let who = Client::new(&server, Some(token.clone())).who_am_i().map_err(not_logged_in)?;
    let path = Config { server: Some(server.clone()), token: Some(token) }.save()?;
    session.output.note(&format!("logged in to {server}; remembered in {}", path.display()));
    session
        .output
        .data(&who, || vec![format!("account {}, roles {}", who.token.account, roles(&who.token.roles))]);
    Ok(())
}

/// To log in is what was tried: the server's advice to do so would lead in a circle.
fn not_logged_in(error: ClientError) -> Failure {
    let failure = Failure::from(error);
    match failure.code {
        ExitCode::NotAllowed => Failure {
            next_step:
                "check the token; who runs the server makes another with `bulkhead-server admin-token`".into(),
            ..failure
        },
        _ => failure,
    }
}

pub(crate) fn logout(session: &Session<'_>) -> Result<(), Failure> {
    // What is damaged is forgotten like what is whole.
    if Config::load().is_ok_and(|config| config == Config::default()) {
        session.output.note("nobody was logged in");
        return Ok(());
    }
    let path = Config::default().save()?;
    session
        .output
        .note(&format!("forgot server and token in {}; the token itself still works", path.display()));
    Ok(())
}

pub(crate) fn who_am_i(session: &Session<'_>) -> Result<(), Failure> {
    let client = session.client()?;
    let who = client.who_am_i()?;
    session.output.data(&who, || {
        let expires = who.token.expires_at.map_or("never".to_owned(), |at| at.to_string());
        vec![
            format!("server   {}", client.server()),
            format!("realm    {}", who.realm_id),
            format!("account  {}", who.token.account),
            format!("token    {} ({})", who.token.id, who.token.name),
            format!("roles    {}", roles(&who.token.roles)),
            format!("expires  {expires}"),
        ]
    });
    Ok(())
}

pub(crate) fn roles(roles: &[bulkhead_cloud_api::Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

fn read_token(session: &Session<'_>) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        session.output.note("token (bht_...), then Enter:");
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    if read.is_err() || line.trim().is_empty() {
        let next = "give --token, set BULKHEAD_TOKEN, or pipe the token in";
        return Err(Failure::new(ExitCode::NotAllowed, "no token was given", next));
    }
    Ok(line)
}
