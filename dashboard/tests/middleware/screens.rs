//! Links for screens over a real socket: who holds one watches until it is revoked, and no longer.

use crate::stage::Stage;
use flowtest_dashboard::routes;
use futures_util::StreamExt;
use salvo::conn::Acceptor;
use salvo::prelude::*;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// How long anything may take on a busy machine: less than the half minute after which sessions are looked at anyway.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longer than a word to one viewer takes, that a word to another one was not seen.
const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_ends_what_watches_by_it_at_once() {
    let stage = Stage::open(&[]).await;
    let mut boss = stage.admin("boss").await;
    let mut links = Vec::new();
    for label in ["hall", "bar"] {
        let page = boss.send("/setting/screen", &[("label", label)]).await.body;
        let (_, rest) = page.split_once("screen=").expect("the link is shown");
        links.push(rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>());
    }
    let acceptor = salvo::conn::TcpListener::new("127.0.0.1:0").bind().await;
    let address = acceptor.holdings()[0].local_addr.to_string();
    let address = address.rsplit("//").next().expect("an address").to_owned();
    let server = tokio::spawn(Server::new(acceptor).serve(routes::service(&stage.app)));
    let mut watching = Vec::new();
    for link in &links {
        let url = format!("ws://{address}/live?screen={link}");
        let mut request = url.as_str().into_client_request().expect("a request");
        request.headers_mut().insert("origin", format!("http://{address}").parse().expect("a header"));
        watching.push(tokio_tungstenite::connect_async(request).await.expect("a subscription").0);
    }
    let hall = stage.accounts().screens().await.expect("two")[0].id;
    assert_eq!(boss.send(&format!("/setting/screen/{hall}/revoke"), &[]).await.status, 303);
    let closed = async {
        while let Some(message) = watching[0].next().await {
            if let Ok(Message::Close(frame)) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    };
    assert_eq!(tokio::time::timeout(TIMEOUT, closed).await.expect("it ends at once"), Some(4401));
    drop(watching.remove(0));
    let another_ends = async {
        while let Some(message) = watching[0].next().await {
            assert!(matches!(message, Ok(Message::Text(_) | Message::Ping(_))), "the other link goes on: {message:?}");
        }
    };
    assert!(tokio::time::timeout(MOMENT, another_ends).await.is_err(), "the other link goes on");
    server.abort();
    stage.close().await;
}
