//! The one file that knows `mysql_cdc`: it logs in, asks for the binlog from a position, and hands over raw packets.
//! Nothing of its row decoding is used (docs/dependencies.md says why).

use super::{
    last_event::LastEvent,
    login::CONNECT,
    transport::{BinlogTransport, HEARTBEAT, TransportError},
};
use crate::binlog::event::{Checksum, RawEvent};
use change_event::checkpoint::BinlogPosition;
use mysql_cdc::{
    binlog_client::BinlogClient, binlog_events::BinlogEvents, binlog_options::BinlogOptions, errors::Error,
    replica_options::ReplicaOptions, ssl_mode::SslMode,
};
use pipeline_config::Source;
use secrecy::{ExposeSecret, SecretString};
use std::net::{TcpStream, ToSocketAddrs};

/// A packet of this length is followed by its continuation.
const FULL_PACKET: usize = 0xff_ffff;
/// First byte of a packet: an event, an error, the end.
const STATUS_EVENT: u8 = 0x00;
const STATUS_ERROR: u8 = 0xff;
const STATUS_END: u8 = 0xfe;

/// Reads over `mysql_cdc`'s packet channel: plain TCP.
pub(crate) struct MysqlCdcTransport {
    events: BinlogEvents,
    checksum: Checksum,
    server_id: u32,
    last: LastEvent,
}

impl MysqlCdcTransport {
    /// Logs in and asks for the binlog from `position`. Blocks; call it off the async threads.
    pub(crate) fn connect(
        source: &Source,
        password: &SecretString,
        position: &BinlogPosition,
    ) -> Result<Self, TransportError> {
        let pos = u32::try_from(position.pos).map_err(|_| {
            TransportError::Refused(format!(
                "{}:{} lies beyond 4 GiB, where a reader by file position cannot start",
                position.file, position.pos
            ))
        })?;
        let options = ReplicaOptions {
            port: source.login.port,
            hostname: source.login.host.clone(),
            ssl_mode: SslMode::Disabled,
            username: source.login.user.clone(),
            password: password.expose_secret().to_owned(),
            database: None,
            server_id: source.server_id,
            blocking: true,
            heartbeat_interval: HEARTBEAT,
            binlog: BinlogOptions::from_position(position.file.clone(), pos),
        };
        reachable(&source.login.host, source.login.port)?;
        // the client's own parsing of the handshake can panic on bytes it does not expect
        let connected =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| BinlogClient::new(options).replicate()))
                .map_err(|_| {
                    TransportError::Lost("the client stumbled over the server's handshake".to_owned())
                })?;
        let events = connected
            .map_err(|error| TransportError::of_server(source.server_id, &error.to_string_lossy()))?;
        // the client does not export the enum's name; its documented values are 0 for none and 1 for CRC32
        let checksum = if events.parser.checksum_type as u8 == 0 { Checksum::None } else { Checksum::Crc32 };
        Ok(Self { events, checksum, server_id: source.server_id, last: LastEvent::new(position) })
    }

    fn read_packet(&mut self) -> Result<Vec<u8>, TransportError> {
        let lost = |error: std::io::Error| TransportError::Lost(error.to_string());
        let (mut packet, _) = self.events.channel.read_packet().map_err(lost)?;
        let mut part = packet.len();
        while part == FULL_PACKET {
            let (more, _) = self.events.channel.read_packet().map_err(lost)?;
            part = more.len();
            packet.extend_from_slice(&more);
        }
        Ok(packet)
    }
}

impl BinlogTransport for MysqlCdcTransport {
    fn next(&mut self) -> Result<RawEvent, TransportError> {
        let packet = self.read_packet()?;
        match packet.first() {
            Some(&STATUS_EVENT) => {
                // the setting may have changed between two files: each says for itself, whatever the server said at login
                if let Some(checksum) = packet.get(1..).and_then(Checksum::announced_by) {
                    self.checksum = checksum;
                }
                let type_code = packet.get(5).copied();
                let event = RawEvent::parse(packet, 1, self.checksum)
                    .map_err(|reason| self.last.damaged_next(type_code, reason))?;
                self.last.note(&event);
                Ok(event)
            }
            Some(&STATUS_ERROR) => {
                // 0xff, code (2 bytes), '#' and SQL state (6 bytes), message
                let code = packet
                    .get(1..3)
                    .map_or(0, |code| code.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)));
                let message = String::from_utf8_lossy(packet.get(9..).unwrap_or_default()).into_owned();
                Err(TransportError::of_server(self.server_id, &format!("error {code}: {message}")))
            }
            Some(&STATUS_END) => Err(TransportError::Lost("the server ended the stream".to_owned())),
            _ => Err(TransportError::Lost(
                "the server sent a packet that is neither event nor error".to_owned(),
            )),
        }
    }
}

/// The client itself would wait for as long as TCP hopes.
fn reachable(host: &str, port: u16) -> Result<(), TransportError> {
    let lost = |cause: std::io::Error| TransportError::Lost(cause.to_string());
    let mut last = TransportError::Lost(format!("{host} has no address"));
    for address in (host, port).to_socket_addrs().map_err(lost)? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(()),
            Err(cause) => last = lost(cause),
        }
    }
    Err(last)
}

/// The client's errors carry the server's code only inside their text.
trait ErrorText {
    fn to_string_lossy(&self) -> String;
}

impl ErrorText for Error {
    fn to_string_lossy(&self) -> String {
        match self {
            Error::IoError(cause) => cause.to_string(),
            Error::String(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }
}
