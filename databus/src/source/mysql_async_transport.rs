//! The one file that knows `mysql_async`: it logs in, over TLS if asked to, and asks for the binlog from a position or a set of GTIDs.
//! Its stream is taken apart into the events as they came; nothing of its row decoding is used (docs/dependencies.md says why).

use super::{
    flavor::Flavor,
    history::Start,
    last_event::LastEvent,
    login::CONNECT,
    transport::{BinlogTransport, HEARTBEAT, TransportError},
};
use crate::binlog::{
    event::{Checksum, HEADER_LEN, RawEvent},
    gtid_state::GtidState,
};
use change_event::checkpoint::BinlogPosition;
use futures::{FutureExt, StreamExt};
use mysql_async::{
    BinlogStream, BinlogStreamRequest, ClientIdentity, Conn, Error, OptsBuilder, Sid, SslOpts,
    binlog::events::Event, prelude::Queryable,
};
use pipeline_config::{Source, TlsMode};
use secrecy::{ExposeSecret, SecretString};
use std::panic::AssertUnwindSafe;

/// The type of a file's first event.
const FORMAT_DESCRIPTION: u8 = 15;

/// Reads over `mysql_async`'s stream.
pub(crate) struct MysqlAsyncTransport {
    stream: BinlogStream,
    /// What the last format description said.
    checksum: Option<Checksum>,
    server_id: u32,
    last: LastEvent,
}

impl MysqlAsyncTransport {
    /// Logs in and asks for the binlog from where `start` says.
    pub(crate) async fn connect(
        source: &Source,
        password: &SecretString,
        start: &Start,
        position: &BinlogPosition,
    ) -> Result<Self, TransportError> {
        if start.flavor == Flavor::MariaDb && !start.by_gtid && u32::try_from(position.pos).is_err() {
            return Err(TransportError::Refused(format!(
                "{}:{} lies beyond 4 GiB, where a reader by file position cannot start",
                position.file, position.pos
            )));
        }
        let failed = |error| of_client(source.server_id, &error);
        let connecting = async {
            let mut conn = Conn::new(options(source, password)).await.map_err(failed)?;
            for statement in preparations(start) {
                conn.query_drop(statement).await.map_err(failed)?;
            }
            let mut request = BinlogStreamRequest::new(source.server_id);
            match (&start.gtids, start.by_gtid, start.flavor) {
                (Some(gtids), true, Flavor::MySql) => {
                    request = request.with_gtid().with_gtid_set(sids(gtids)?);
                }
                (_, true, Flavor::MariaDb) => {}
                _ => request = request.with_filename(position.file.as_bytes()).with_pos(position.pos),
            }
            conn.get_binlog_stream(request).await.map_err(failed)
        };
        let stream = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| TransportError::Lost(format!("no answer to the login within {CONNECT:?}")))??;
        Ok(Self { stream, checksum: None, server_id: source.server_id, last: LastEvent::new(position) })
    }
}

fn options(source: &Source, password: &SecretString) -> OptsBuilder {
    let tls = match source.tls.mode {
        TlsMode::Disabled => None,
        mode => Some(
            SslOpts::default()
                .with_root_certs(source.tls.ca.iter().map(|ca| ca.clone().into()).collect())
                .with_disable_built_in_roots(source.tls.ca.is_some())
                .with_danger_accept_invalid_certs(mode == TlsMode::Required)
                .with_danger_skip_domain_validation(mode != TlsMode::VerifyIdentity)
                .with_client_identity(
                    source
                        .tls
                        .identity
                        .as_ref()
                        .map(|(cert, key)| ClientIdentity::new(cert.clone().into(), key.clone().into())),
                ),
        ),
    };
    OptsBuilder::default()
        .ip_or_hostname(source.login.host.clone())
        .tcp_port(source.login.port)
        .user(Some(source.login.user.clone()))
        .pass(Some(password.expose_secret().to_owned()))
        .prefer_socket(false)
        .ssl_opts(tls)
}

/// What the session is told before it turns into a stream.
fn preparations(start: &Start) -> Vec<String> {
    let period = HEARTBEAT.as_nanos();
    match start.flavor {
        Flavor::MySql => {
            vec![format!("SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period}")]
        }
        Flavor::MariaDb => {
            let mut statements = vec![
                format!("SET @master_heartbeat_period = {period}"),
                // 4: we know GTID events, so that they are not written over for us
                "SET @mariadb_slave_capability = 4".to_owned(),
            ];
            if let (Some(gtids), true) = (&start.gtids, start.by_gtid) {
                // numbers and dashes only, so there is nothing to quote
                statements.push(format!("SET @slave_connect_state = '{gtids}'"));
                // an unknown GTID is refused in place of being taken for a later one
                statements
                    .push("SET @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0".to_owned());
            }
            statements
        }
    }
}

fn sids(gtids: &GtidState) -> Result<Vec<Sid<'static>>, TransportError> {
    let text = gtids.to_string();
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| part.parse().map_err(|cause| TransportError::Refused(format!("GTIDs {part}: {cause}"))))
        .collect()
}

impl BinlogTransport for MysqlAsyncTransport {
    async fn next(&mut self) -> Result<RawEvent, TransportError> {
        loop {
            // the client's own look at headers and table maps can panic on bytes it does not expect
            let arrived = AssertUnwindSafe(self.stream.next())
                .catch_unwind()
                .await
                .map_err(|_| TransportError::Lost("the client stumbled over an event".to_owned()))?;
            let event = match arrived {
                None => return Err(TransportError::Lost("the server ended the stream".to_owned())),
                Some(Err(error)) => return Err(of_client(self.server_id, &error)),
                Some(Ok(event)) => event,
            };
            // the client also hands over what it unpacked from a compressed transaction; we unpack that ourselves
            if !event.footer().get_checksum_enabled() {
                continue;
            }
            let bytes = as_it_came(&event);
            if let Some(announced) = Checksum::announced_by(&bytes) {
                self.checksum = Some(announced);
            }
            let checksum = match self.checksum {
                Some(_) if event.checksum().is_none() => Checksum::None,
                Some(announced) => announced,
                // before the first format description nobody says
                None if carries_crc(&bytes) => Checksum::Crc32,
                None => Checksum::None,
            };
            let type_code = bytes.get(4).copied();
            let event = RawEvent::parse(bytes, 0, checksum)
                .map_err(|reason| self.last.damaged_next(type_code, reason))?;
            self.last.note(&event);
            return Ok(event);
        }
    }
}

fn carries_crc(event: &[u8]) -> bool {
    event.split_last_chunk::<4>().is_some_and(|(content, crc)| crc32fast::hash(content).to_le_bytes() == *crc)
}

/// The event's bytes: header, body, a format description's checksum algorithm, CRC.
fn as_it_came(event: &Event) -> Vec<u8> {
    let header = event.header();
    let mut bytes = Vec::with_capacity(HEADER_LEN + event.data().len() + 5);
    bytes.extend(header.timestamp().to_le_bytes());
    bytes.push(header.event_type_raw());
    bytes.extend(header.server_id().to_le_bytes());
    bytes.extend(header.event_size().to_le_bytes());
    bytes.extend(header.log_pos().to_le_bytes());
    bytes.extend(header.flags_raw().to_le_bytes());
    bytes.extend(event.data());
    if header.event_type_raw() == FORMAT_DESCRIPTION
        && let Ok(Some(algorithm)) = event.footer().get_checksum_alg()
    {
        bytes.push(algorithm as u8);
    }
    bytes.extend(event.checksum().into_iter().flatten());
    bytes
}

fn of_client(server_id: u32, error: &Error) -> TransportError {
    match error {
        Error::Server(said) => {
            TransportError::of_server(server_id, &format!("error {}: {}", said.code, said.message))
        }
        Error::Io(mysql_async::IoError::Tls(cause)) => TransportError::Refused(format!("TLS: {cause}")),
        Error::Io(mysql_async::IoError::Io(cause)) => TransportError::Lost(cause.to_string()),
        other => TransportError::Lost(other.to_string()),
    }
}
