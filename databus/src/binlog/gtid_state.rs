//! Everything that has been read, in GTIDs: what a server that has the same transactions at other positions continues from.
//!
//! MariaDB counts in domains, so the last GTID of each says it all (`0-1-42,7-3-9`). MySQL keeps the whole set (`uuid:1-5:8,uuid:tag:1-2`).

use super::gtid::{Gtid, Origin};
use std::{collections::BTreeMap, fmt};

/// The GTIDs of all transactions up to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidState {
    /// By domain: server and sequence of the last one.
    MariaDb(BTreeMap<u32, (u32, u64)>),
    /// By numbering: first and last of each unbroken run, in order.
    MySql(BTreeMap<Origin, Vec<(u64, u64)>>),
}

/// The text is not a server's list of GTIDs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of GTIDs")]
pub struct NotGtids(String);

impl GtidState {
    /// MariaDB's `0-1-42,7-3-9`; of several in one domain the last counts. Empty text is no transaction at all.
    pub fn parse_mariadb(text: &str) -> Result<Self, NotGtids> {
        let mut domains = BTreeMap::new();
        for (domain, server_id, sequence) in parse_list(text)? {
            domains.insert(domain, (server_id, sequence));
        }
        Ok(Self::MariaDb(domains))
    }

    /// MySQL's `uuid:1-5:8,uuid:tag:1-2`. Empty text is the empty set.
    pub fn parse_mysql(text: &str) -> Result<Self, NotGtids> {
        let bad = || NotGtids(text.to_owned());
        let mut set = Self::MySql(BTreeMap::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut items = part.split(':').map(str::trim);
            let uuid = items.next().and_then(parse_uuid).ok_or_else(bad)?;
            let mut origin = Origin::new(uuid, b"").map_err(|_| bad())?;
            for item in items {
                if !item.starts_with(|first: char| first.is_ascii_digit()) {
                    origin = Origin::new(uuid, item.to_ascii_lowercase().as_bytes()).map_err(|_| bad())?;
                    continue;
                }
                let (first, last) = item.split_once('-').unwrap_or((item, item));
                let (first, last) = first.parse().ok().zip(last.parse().ok()).ok_or_else(bad)?;
                if first == 0 || last < first {
                    return Err(bad());
                }
                set.add_run(origin, first, last);
            }
        }
        Ok(set)
    }

    /// Notes that a transaction is complete. A GTID of the other family changes nothing.
    pub fn add(&mut self, gtid: Gtid) {
        match (self, gtid) {
            (Self::MariaDb(domains), Gtid::MariaDb { domain, server_id, sequence }) => {
                domains.insert(domain, (server_id, sequence));
            }
            (state @ Self::MySql(_), Gtid::MySql { origin, number }) => {
                state.add_run(origin, number, number);
            }
            _ => {}
        }
    }

    /// Takes all of another set in.
    pub fn join(&mut self, other: &Self) {
        if let Self::MySql(other) = other {
            for (origin, runs) in other {
                for (first, last) in runs {
                    self.add_run(*origin, *first, *last);
                }
            }
        }
    }

    fn add_run(&mut self, origin: Origin, first: u64, last: u64) {
        let Self::MySql(set) = self else { return };
        let runs = set.entry(origin).or_default();
        if let Some(end) = runs.last_mut()
            && end.1.checked_add(1) == Some(first)
        {
            end.1 = last;
            return;
        }
        runs.push((first, last));
        runs.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(runs.len());
        for (first, last) in runs.drain(..) {
            match joined.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        *runs = joined;
    }

    /// Whether every transaction of `self` is in `other` too. Only for MySQL's sets; MariaDB's last ones alone do not tell.
    pub fn is_within(&self, other: &Self) -> bool {
        let (Self::MySql(ours), Self::MySql(theirs)) = (self, other) else { return false };
        ours.iter().all(|(origin, runs)| {
            let wider = theirs.get(origin).map(Vec::as_slice).unwrap_or_default();
            runs.iter().all(|run| wider.iter().any(|wide| wide.0 <= run.0 && run.1 <= wide.1))
        })
    }

    /// Whether some numbering is in both sets.
    pub fn shares_origin_with(&self, other: &Self) -> bool {
        let (Self::MySql(ours), Self::MySql(theirs)) = (self, other) else { return false };
        ours.is_empty() || ours.keys().any(|origin| theirs.contains_key(origin))
    }

    /// Whether a GTID may be the one behind this set. Numbers of the server itself (`own`) rise along its binlog one by one; those that
    /// it got from others may come in another order, so of them it is only asked that they are new.
    pub fn is_followed_by(&self, gtid: &str, own: Option<&str>) -> bool {
        let (Self::MySql(set), Ok(Self::MySql(next))) = (self, Self::parse_mysql(gtid)) else { return false };
        next.iter().all(|(origin, runs)| {
            let ours = set.get(origin).map(Vec::as_slice).unwrap_or_default();
            let has = |number: u64| ours.iter().any(|(first, last)| (*first..=*last).contains(&number));
            let is_own = own.and_then(parse_uuid) == Some(origin.uuid);
            runs.iter().all(|(number, _)| !has(*number) && (!is_own || *number == 1 || has(number - 1)))
        })
    }

    /// Whether nothing has been read yet.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb(domains) => domains.is_empty(),
            Self::MySql(set) => set.is_empty(),
        }
    }
}

/// MariaDB's list as (domain, server, sequence), in its order: `gtid_binlog_state` has one for each server that ever wrote in a domain.
pub fn parse_list(text: &str) -> Result<Vec<(u32, u32, u64)>, NotGtids> {
    let one = |part: &str| {
        let mut numbers = part.split('-');
        let gtid =
            (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        numbers.next().is_none().then_some(gtid)
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(one).collect::<Option<_>>().ok_or_else(|| NotGtids(text.to_owned()))
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.chars().filter(|letter| *letter != '-');
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        let mut digit = || digits.next().and_then(|letter| letter.to_digit(16));
        *byte = u8::try_from(digit()? << 4 | digit()?).ok()?;
    }
    digits.next().is_none().then_some(uuid)
}

impl fmt::Display for GtidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb(domains) => {
                for (at, (domain, (server_id, sequence))) in domains.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{domain}-{server_id}-{sequence}")?;
                }
            }
            Self::MySql(set) => {
                for (at, (origin, runs)) in set.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{origin}")?;
                    for (first, last) in runs {
                        write!(f, ":{first}")?;
                        if last > first {
                            write!(f, "-{last}")?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = "64d29ec7-e6c1-11f1-88a9-02fc00000001";

    #[test]
    fn mariadbs_state_is_the_last_gtid_of_each_domain() {
        let mut state = GtidState::parse_mariadb("0-1-42, 7-3-9,0-2-43").unwrap();
        state.add(Gtid::MariaDb { domain: 7, server_id: 1, sequence: 10 });
        assert_eq!(state.to_string(), "0-2-43,7-1-10");
        assert!(GtidState::parse_mariadb("").unwrap().is_empty());
        assert!(GtidState::parse_mariadb("0-1").is_err() && GtidState::parse_mariadb("0-1-2-3").is_err());
    }

    #[test]
    fn mysqls_set_joins_what_touches() {
        let mut set = GtidState::parse_mysql(&format!("{ONE}:1-5:8:tag_a:1")).unwrap();
        let Some(Gtid::MySql { origin, .. }) = first(&set) else { panic!("no origin") };
        for number in [6, 9, 7, 3] {
            set.add(Gtid::MySql { origin, number });
        }
        assert_eq!(set.to_string(), format!("{ONE}:1-9,{ONE}:tag_a:1"));
        assert_eq!(GtidState::parse_mysql(&set.to_string()).unwrap(), set);
        assert!(
            GtidState::parse_mysql("64d29ec7:1").is_err()
                && GtidState::parse_mysql(&format!("{ONE}:5-2")).is_err()
        );
    }

    fn first(set: &GtidState) -> Option<Gtid> {
        let GtidState::MySql(set) = set else { return None };
        set.keys().next().map(|origin| Gtid::MySql { origin: *origin, number: 1 })
    }

    #[test]
    fn a_set_is_within_another_only_as_a_whole() {
        let set = |runs: &str| GtidState::parse_mysql(&format!("{ONE}:{runs}")).unwrap();
        assert!(set("1-5:8").is_within(&set("1-9")) && set("1-5").is_within(&set("1-5:7")));
        assert!(!set("1-5:8").is_within(&set("1-7")) && !set("1").is_within(&set("tag_a:1")));
        assert!(GtidState::parse_mysql("").unwrap().is_within(&set("1")));
    }

    #[test]
    fn the_servers_own_numbers_come_one_by_one() {
        let set = GtidState::parse_mysql(&format!("{ONE}:1-50")).unwrap();
        let follows = |number: u64, own| set.is_followed_by(&format!("{ONE}:{number}"), own);
        assert!(follows(51, Some(ONE)) && !follows(50, Some(ONE)) && !follows(80, Some(ONE)));
        assert!(follows(80, None) && !follows(7, None) && !set.is_followed_by("x", None));
    }

    proptest! {
        #[test]
        fn any_text_is_gtids_or_an_error(text in "[-0-9a-f:,t ]{0,60}") {
            let _ = (GtidState::parse_mariadb(&text), GtidState::parse_mysql(&text));
        }

        #[test]
        fn a_set_holds_what_was_added_in_any_order(mut numbers in proptest::collection::vec(1u64..60, 0..60)) {
            let origin = Origin::new([7; 16], b"").unwrap();
            let mut set = GtidState::parse_mysql("").unwrap();
            for number in &numbers {
                set.add(Gtid::MySql { origin, number: *number });
            }
            numbers.sort_unstable();
            numbers.dedup();
            let GtidState::MySql(runs) = &set else { unreachable!() };
            let held: Vec<u64> = runs.values().flatten().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(held, numbers);
        }
    }
}
