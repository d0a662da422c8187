//! A server that starts again, behind a proxy or not, is no foreign one, and costs a follower nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use bulkhead_cloud_api::{Problem, ProblemCode};
use bulkhead_cloud_client::{Client, ClientError};

/// A server that gives each connection the next of `answers`, and the heads of what it was asked.
#[expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]
fn server(answers: Vec<String>) -> (Client, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None);
    let (told, asked) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut peer, _) = listener.accept().unwrap();
            let lines = BufReader::new(peer.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            told.send(head.join("\n").to_lowercase()).unwrap();
            peer.write_all(answer.as_bytes()).unwrap();
        }
    });
    (client, asked)
}

fn answer(status: u16, content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-type: {content_type}\r\n\r\n{body}")
}

/// What a proxy says while the server behind it is away.
fn away(status: u16) -> String {
    answer(status, "text/html", "<html><h1>Bad Gateway</h1></html>")
}

#[test]
fn proxy_that_answers_for_a_server_that_is_away_is_no_foreign_server() {
    for status in [502, 503, 504] {
        let error = server(vec![away(status)]).0.info().expect_err("no server");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
        let told = format!("a proxy before it says that it is away (status {status})");
        assert!(error.to_string().ends_with(&told), "{error}");
    }
    for status in [200, 301, 404, 500, 501, 505] {
        let error = server(vec![away(status)]).0.info().expect_err("no server");
        assert!(
            matches!(error, ClientError::NotBulkhead { status: told, .. } if told == status),
            "{error:?}"
        );
    }
    let problem = Problem { status: 503, ..Problem::new(ProblemCode::Internal, "too much to do", "wait") };
    let problem = serde_json::to_string(&problem).expect("serialises");
    let error =
        server(vec![answer(503, "application/problem+json", &problem)]).0.info().expect_err("refused");
    assert!(matches!(error, ClientError::Problem(_)), "{error:?}");
}

#[test]
fn follower_that_saw_nothing_yet_comes_back_to_where_it_began() {
    let event = r#"{"id":42,"at":"2026-01-01T00:00:00Z","kind":"command","device_id":null,"data":{}}"#;
    let stream = |text: &str| answer(200, "text/event-stream", text);
    let (client, asked) = server(vec![
        stream("id: 41\n\n: lives\n\n"),
        away(502),
        stream(&format!("id: 41\n\nid: 42\nevent: command\ndata: {event}\n\n")),
        stream("id: 42\n\n"),
    ]);
    let mut following = client.follow_events(None);
    let came = following.next().expect("no end").expect("an event");
    assert_eq!(came.id, 42);
    let heads: Vec<_> = asked.iter().take(3).collect();
    assert!(!heads[0].contains("last-event-id"), "{heads:?}");
    assert!(heads[1..].iter().all(|head| head.contains("last-event-id: 41")), "{heads:?}");
}
