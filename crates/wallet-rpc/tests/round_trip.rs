//! A real server and a real client over loopback: what travels, what is refused, what happens when one side goes away.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{net::SocketAddr, time::Duration};

use money::{AccountId, MerchantId};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use wallet_rpc::{
    AccountRef, Call, Client, ClientSettings, Denial, Grant, MerchantAccess, Refusal, RpcError, serve,
};

struct Handler;

impl MerchantAccess for Handler {
    async fn authenticate(&self, call: Call<'_>) -> Result<Grant, Refusal> {
        match call.key_id {
            "good" => Ok(Grant {
                merchant_id: MerchantId(7),
                app_id: call.app_id.to_owned(),
                key_id: call.key_id.to_owned(),
                algorithm: "HMAC-SHA256".to_owned(),
                verification_key: SecretSlice::from(vec![0, 255, 10, 128]),
                scopes: vec!["bills:read".to_owned()],
                accounts: vec![AccountRef {
                    account_id: AccountId(130),
                    kind: "available".to_owned(),
                    currency: "CNY".parse().unwrap(),
                }],
                time_zone: "Asia/Shanghai".to_owned(),
                valid_until_ms: 1_795_372_800_000,
            }),
            "busy" => Err(Refusal::Unavailable {
                message: "the database is gone".to_owned(),
                retry_after: Duration::from_millis(1500),
            }),
            "panic" => panic!("a handler's bug"),
            "slow" => std::future::pending().await,
            _ => Err(Refusal::Denied { reason: Denial::UnknownKey, message: "no such key".to_owned() }),
        }
    }
}

async fn server() -> (SocketAddr, CancellationToken, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let token = SecretString::from("right token");
    let running = tokio::spawn(async move { serve(listener, &token, Handler, stop).await });
    (address, shutdown, running)
}

async fn client(address: SocketAddr, token: &str) -> Client {
    let mut settings = ClientSettings::new(address.to_string(), SecretString::from(token));
    settings.rpc_timeout = Duration::from_millis(800);
    Client::new(settings).await.unwrap()
}

#[tokio::test]
async fn a_grant_and_every_refusal_travel_as_they_are() {
    let (address, _shutdown, _running) = server().await;
    let client = client(address, "right token").await;

    let grant = client.authenticate("req-1", "app", "good").await.unwrap();
    assert_eq!((grant.merchant_id, grant.app_id.as_str()), (MerchantId(7), "app"));
    assert_eq!(grant.verification_key.expose_secret(), &[0, 255, 10, 128]);
    assert_eq!(grant.accounts[0].account_id, AccountId(130));

    let unknown = client.authenticate("req-2", "app", "other").await.unwrap_err();
    assert_eq!((unknown.denial(), unknown.is_transient()), (Some(Denial::UnknownKey), false));

    let busy = client.authenticate("req-3", "app", "busy").await.unwrap_err();
    assert!(busy.is_transient(), "{busy}");
    let RpcError::Refused(Refusal::Unavailable { retry_after, .. }) = busy else { panic!("{busy:?}") };
    assert_eq!(retry_after, Duration::from_millis(1500));
}

#[tokio::test]
async fn a_wrong_service_token_is_denied_before_the_handler_runs() {
    let (address, _shutdown, _running) = server().await;
    for wrong in ["", "right toke", "right token "] {
        // the key would panic, so an answer proves that the handler was not asked
        let error = client(address, wrong).await.authenticate("req", "app", "panic").await.unwrap_err();
        assert_eq!(error.denial(), Some(Denial::BadServiceToken), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_panicking_or_hanging_handler_fails_one_call_and_tells_nothing() {
    let (address, _shutdown, _running) = server().await;
    let client = client(address, "right token").await;
    let error = client.authenticate("req", "app", "panic").await.unwrap_err();
    assert!(!error.is_transient() && !error.to_string().contains("bug"), "{error}");
    let error = client.authenticate("req", "app", "slow").await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { .. }) && error.is_transient(), "{error}");
    assert!(client.authenticate("req", "app", "good").await.is_ok());
}

#[tokio::test]
async fn the_server_stops_with_its_token_and_then_calls_are_transient_errors() {
    let (address, shutdown, running) = server().await;
    let client = client(address, "right token").await;
    client.authenticate("req", "app", "good").await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
    let error = client.authenticate("req", "app", "good").await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn bytes_that_are_no_call_end_their_connection_and_nothing_else() {
    let (address, shutdown, running) = server().await;
    // a framed binary message of type call whose name claims to be longer than the frame
    let endless_name = [0, 0, 0, 12, 0x80, 1, 0, 1, 0x7f, 0xff, 0xff, 0xff, b'a', b'u', b't', b'h'];
    let negative_name = [0, 0, 0, 12, 0x80, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, b'a', b'u', b't', b'h'];
    // the same without a frame
    let unframed = [0x80, 1, 0, 1, 0x7f, 0xff, 0xff, 0xff, b'a', b'u', b't', b'h'];
    for bytes in [&endless_name[..], &negative_name, &unframed, b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // an answer, an end or a reset: all are fine
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    }
    client(address, "right token").await.authenticate("req", "app", "good").await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
}
