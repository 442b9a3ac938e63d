//! Under load, each response carries the token of its own request.
//!
//! The first Flow Test kept the token in a global and mixed tokens up. So the same check is also run against a
//! server built like that, and must find it out.

mod common;

use common::{Client, DRIVERS, TIMEOUT, Target, get, token};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CONNECTIONS: u64 = 24;

/// Responses whose token is not that of the request in the same place, over many connections at once.
fn mixed_up(address: SocketAddr, rounds: u64, pipeline: u64) -> usize {
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut mixed_up = 0;
                for round in 0..rounds {
                    let tokens: Vec<String> =
                        (0..pipeline).map(|place| token(((connection * rounds) + round) * pipeline + place)).collect();
                    client.send(tokens.iter().map(|token| get(token)).collect::<String>().as_bytes());
                    for token in &tokens {
                        let response = client.response(false).expect("answered");
                        mixed_up += usize::from(response.header("token") != Some(token));
                    }
                }
                mixed_up
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
}

#[test]
fn tokens_never_mix_under_load() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        assert_eq!(mixed_up(target.address, 100, 16), 0, "{driver}, pipelined");
        assert_eq!(mixed_up(target.address, 300, 1), 0, "{driver}, one at a time");
        let summary = target.stop();
        assert_eq!(summary["tokens"], CONNECTIONS * (100 * 16 + 300), "{driver}");
    }
}

#[test]
fn the_check_finds_out_a_server_that_keeps_the_token_in_a_global() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    let global = Arc::new(Mutex::new(String::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten().take(CONNECTIONS as usize) {
            let global = Arc::clone(&global);
            std::thread::spawn(move || forgetful(stream, &global));
        }
    });
    assert!(mixed_up(address, 20, 1) > 0);
}

/// Stores the token of the request, thinks a little, and answers with whatever is stored by then.
fn forgetful(mut stream: std::net::TcpStream, global: &Mutex<String>) {
    let mut bytes = [0; 4096];
    stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let token = request.split("Token: ").nth(1).map_or("", |rest| &rest[..32]);
        token.clone_into(&mut global.lock().expect("lock"));
        std::thread::sleep(Duration::from_millis(1));
        let token = global.lock().expect("lock").clone();
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nToken: {token}\r\n\r\n");
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn sixteen_at_once_come_back_in_one_piece() {
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        let mut client = target.client();
        client.get(&token(0)).expect("answered");
        for round in 1..=20 {
            let tokens: Vec<String> = (0..16).map(|place| token(round * 16 + place)).collect();
            client.send(tokens.iter().map(|token| get(token)).collect::<String>().as_bytes());
            // One write arrives as one segment on loopback, whose segments are 64 KiB: one read gets all of it.
            let bytes = client.read_once();
            for token in &tokens {
                assert_eq!(client.response(false).expect("answered").header("token"), Some(token.as_str()));
            }
            assert!(bytes > 16 * 200, "{driver}: {bytes} bytes in the first read");
        }
    }
}

#[test]
fn head_has_the_same_head_and_no_body() {
    let target = Target::start(&[]);
    let mut client = target.client();
    let expected = client.get(&token(1)).expect("answered");
    client.send(get(&token(1)).replacen("GET", "HEAD", 1).as_bytes());
    let head = client.response(true).expect("answered");
    for name in ["content-length", "content-type", "token", "version", "from"] {
        assert_eq!(head.header(name), expected.header(name));
    }
    // Nothing of a body stands before the next response.
    assert_eq!(client.get(&token(2)).expect("answered").body, expected.body);
}

#[test]
fn a_token_of_any_visible_characters_comes_back() {
    let longest: String = ('!'..='~').chain('!'..='~').take(128).collect();
    for driver in DRIVERS {
        let target = Target::start(&["--driver", driver]);
        let mut client = target.client();
        let usual = client.get(&token(1)).expect("answered");
        // What the first Flow Test's client sends, twice so that the cache is asked as well; then the shortest, the
        // longest, and one of the contract's length that is not in hex.
        let uuids = ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"];
        for token in uuids.into_iter().chain(["7", &longest, "not-hex-but-as-long-as-usual/32~"]) {
            let response = client.get(token).expect("answered");
            assert_eq!((response.status, response.header("token")), (200, Some(token)), "{driver}");
            assert_eq!(response.body, usual.body, "{driver}: {token}");
        }
        assert_eq!(target.stop()["tokens"], 6, "{driver}");
    }
}

#[test]
fn with_a_team_each_answer_says_whose_it_is() {
    let target = Target::start(&["--team", "alice_1"]);
    let mut client = target.client();
    for request in
        [get(&token(1)), get("x"), get(&token(1)).replace("Token", "X"), get(&token(1)).replace("GET", "BREW")]
    {
        client.send(request.as_bytes());
        assert_eq!(client.response(false).expect("answered").header("team"), Some("alice_1"), "{request}");
    }
    drop(target);
    let target = Target::start(&[]);
    assert_eq!(target.client().get(&token(1)).expect("answered").header("team"), None);
}
