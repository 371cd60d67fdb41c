//! The five ways in which what a checkpoint stands for can be gone from the server. They look alike to a reader (error 1236 mostly),
//! and each wants another act of the operator, so each has its own error, exit code and label.

use std::fmt;

/// Definite: reading cannot go on from the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LostPosition {
    /// The binlog was removed before it was read.
    #[error(
        "the source has purged the binlog file {file}, which the checkpoint at {position} goes on in; the oldest that it still has is \
         {oldest}: changes in between can only come from a snapshot; begin a new numbering with a reset, and keep binlogs longer on the source"
    )]
    Purged {
        /// The file that is gone.
        file: String,
        /// The checkpoint's position.
        position: String,
        /// The server's oldest file.
        oldest: String,
    },
    /// The server's binlog is not the one that was read: begun anew, cut or restored.
    #[error(
        "the source's binlog has another history than the checkpoint at {position}: {found}; the binlog was reset, cut or restored, so what \
         was read and what is there do not join: begin a new numbering with a reset and take a snapshot"
    )]
    OtherHistory {
        /// The checkpoint's position.
        position: String,
        /// What is there in its place.
        found: String,
    },
    /// Another server answers at the address.
    #[error(
        "the checkpoint belongs to the server with {expected}, but {found} answers; positions of one server mean nothing on another: \
         point the source back, or begin a new numbering with a reset"
    )]
    OtherServer {
        /// Who the checkpoint belongs to.
        expected: String,
        /// Who answers.
        found: String,
    },
    /// Somebody else replicates with our server_id.
    #[error(
        "another replica reads with the same server_id {server_id} ({said}); give every reader of this server its own source.server_id"
    )]
    ServerIdClash {
        /// Ours.
        server_id: u32,
        /// The server's words.
        said: String,
    },
    /// The server's GTIDs do not continue the checkpoint's.
    #[error(
        "the source cannot continue the checkpoint's GTIDs {gtids}: {reason}; nothing was skipped: wait for or point to a server that has \
         them, or begin a new numbering with a reset and take a snapshot"
    )]
    GtidGap {
        /// The checkpoint's.
        gtids: String,
        /// Which way they do not fit.
        reason: String,
    },
}

impl LostPosition {
    /// The process's exit code, a contract with whatever supervises it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Purged { .. } => 11,
            Self::OtherHistory { .. } => 12,
            Self::OtherServer { .. } => 13,
            Self::ServerIdClash { .. } => 14,
            Self::GtidGap { .. } => 15,
        }
    }

    /// The `reason` label of `databus_lost_position`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Purged { .. } => "purged",
            Self::OtherHistory { .. } => "other_history",
            Self::OtherServer { .. } => "other_server",
            Self::ServerIdClash { .. } => "server_id_clash",
            Self::GtidGap { .. } => "gtid_gap",
        }
    }
}

/// How a server says that it cannot read its own binlog file (`Log_event::read_log_event` and `binlog_reader.cc` of MariaDB and MySQL).
const BROKEN_FILE: [&str; 4] = [
    "binlog truncated in the middle of event",
    "bogus data in log event",
    "event read from binlog did not pass crc check",
    "I/O error reading log event",
];

/// What to do where the server cannot read its own binlog file, to be put behind what it said; else nothing.
pub(super) fn advice(said: &str) -> &'static str {
    if BROKEN_FILE.iter().any(|words| said.contains(words)) {
        "; the binlog file is cut or damaged on the source's disk: read from a replica, whose copy is whole, or begin a new numbering behind \
         the file with a reset and take a snapshot"
    } else {
        ""
    }
}

/// The server's binlog files, as `SHOW BINARY LOGS` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BinlogFiles(pub(super) Vec<(String, u64)>);

impl BinlogFiles {
    /// The length of a file, in bytes; `None` where there is no such file.
    pub(super) fn length_of(&self, file: &str) -> Option<u64> {
        self.0.iter().find(|(name, _)| name == file).map(|(_, length)| *length)
    }

    /// The file with the lowest number.
    pub(super) fn oldest(&self) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).min_by_key(|name| super::file_number(name))
    }

    /// Why a position at which no event begins is not there.
    pub(super) fn without(&self, position: &change_event::checkpoint::BinlogPosition) -> LostPosition {
        let at = format!("{}:{}", position.file, position.pos);
        let other = |found| LostPosition::OtherHistory { position: at.clone(), found };
        if let Some(length) = self.length_of(&position.file) {
            return other(if position.pos > length {
                format!("{} ends at {length}", position.file)
            } else {
                "no event begins there".to_owned()
            });
        }
        let Some(oldest) = self.oldest() else { return other("the server has no binlog file".to_owned()) };
        let base = |file: &str| file.rsplit_once('.').map(|(base, _)| base.to_owned());
        if base(oldest) != base(&position.file) {
            return other(format!("the files are called otherwise now: {self}"));
        }
        if super::file_number(oldest) > super::file_number(&position.file) {
            return LostPosition::Purged {
                file: position.file.clone(),
                position: at,
                oldest: oldest.to_owned(),
            };
        }
        other(format!("the files are {self}"))
    }
}

impl fmt::Display for BinlogFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none"),
            [(only, length)] => write!(f, "{only} ({length} bytes)"),
            [(first, _), .., (last, length)] => write!(f, "{first} to {last} ({length} bytes)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use change_event::checkpoint::BinlogPosition;

    fn lost(files: &[(&str, u64)], file: &str, pos: u64) -> LostPosition {
        let files = files.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect();
        BinlogFiles(files).without(&BinlogPosition { file: file.to_owned(), pos })
    }

    #[test]
    fn a_file_that_the_server_cannot_read_itself_comes_with_advice_and_a_missing_one_does_not() {
        let cut = "error 1236: binlog truncated in the middle of event; consider out of disk space on master";
        assert!(advice(cut).contains("read from a replica"));
        assert_eq!(advice("error 1236: Could not find first log file name in binary log index file"), "");
    }

    #[test]
    fn a_position_that_is_not_there_is_purged_or_of_another_history() {
        let files = [("binlog.999999", 900), ("binlog.1000000", 400)];
        let cases = [
            ("binlog.999998", 4, "purged", "oldest that it still has is binlog.999999"),
            ("binlog.1000001", 4, "other_history", "binlog.999999 to binlog.1000000"),
            ("binlog.999999", 901, "other_history", "ends at 900"),
            ("binlog.999999", 17, "other_history", "no event begins there"),
            ("mysql-bin.999999", 4, "other_history", "called otherwise"),
        ];
        for (file, pos, label, part) in cases {
            let lost = lost(&files, file, pos);
            assert_eq!(lost.label(), label, "{lost}");
            assert!(lost.to_string().contains(part), "{lost}");
        }
        assert_eq!(lost(&[], "binlog.000001", 4).label(), "other_history");
    }
}
