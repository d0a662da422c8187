//! Tokens and the audit log.

use bulkhead_cloud_api::{NewToken, Timestamp};

use super::Session;
use super::login::roles;
use crate::arguments::Token;
use crate::failure::Failure;
use crate::output::{ago, harmless, table};

const SECONDS_PER_DAY: u32 = 86_400;

pub(crate) fn run(session: &Session<'_>, command: Token) -> Result<(), Failure> {
    let client = session.client()?;
    match command {
        Token::Ls => {
            let tokens = client.tokens()?;
            let now = Timestamp::now();
            session.output.data(&tokens, || {
                let rows: Vec<_> = tokens
                    .iter()
                    .map(|token| {
                        let expires = token.expires_at.map_or("never".into(), |at| at.to_string());
                        let (name, account) = (harmless(&token.name), harmless(&token.account));
                        vec![
                            token.id.clone(),
                            name,
                            account,
                            roles(&token.roles),
                            ago(token.created_at, now),
                            expires,
                        ]
                    })
                    .collect();
                table(&["ID", "NAME", "ACCOUNT", "ROLES", "MADE", "EXPIRES"], &rows)
            });
        }
        Token::New { name, account, roles, days } => {
            let account = match account {
                Some(account) => account,
                None => client.who_am_i()?.token.account,
            };
            let expires_in_s = days.map(|days| days.saturating_mul(SECONDS_PER_DAY));
            let made = client.create_token(&NewToken { account, name, roles, expires_in_s })?;
            session.output.note("this secret is shown once:");
            session.output.data(&made, || vec![made.secret.clone()]);
        }
        Token::Revoke { id } => {
            client.revoke_token(&id)?;
            session.output.note(&format!("token {id} works no more"));
        }
    }
    Ok(())
}

/// Prints the audit log, newest first.
pub(crate) fn audit(session: &Session<'_>, count: u32) -> Result<(), Failure> {
    let entries = session.client()?.audit(count)?;
    session.output.data(&entries, || {
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                let (account, action) = (harmless(&entry.account), harmless(&entry.action));
                vec![entry.id.to_string(), entry.at.to_string(), account, action, harmless(&entry.subject)]
            })
            .collect();
        table(&["NUMBER", "TIME", "ACCOUNT", "ACTION", "SUBJECT"], &rows)
    });
    Ok(())
}
