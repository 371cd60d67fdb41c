//! What an app may do.

use std::fmt;

/// One permission; the text is what grants and the admin API call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    BillsRead,
    FundsRead,
    FundsWrite,
}

impl Scope {
    pub(crate) const ALL: [Self; 3] = [Self::BillsRead, Self::FundsRead, Self::FundsWrite];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BillsRead => "bills:read",
            Self::FundsRead => "funds:read",
            Self::FundsWrite => "funds:write",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A set of scopes, sorted, each once. Text form: separated by blanks, as the column `app.scopes` holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(crate) fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    pub(crate) fn all() -> Self {
        Self::new(Scope::ALL)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let scopes = text
            .split_ascii_whitespace()
            .map(|word| Scope::parse(word).ok_or_else(|| format!("{word:?} is not a scope")))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(scopes))
    }

    pub(crate) fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.as_str()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_set_and_survive_their_column() {
        let scopes = Scopes::new([Scope::FundsWrite, Scope::BillsRead, Scope::FundsWrite]);
        assert_eq!(scopes.to_string(), "bills:read funds:write");
        assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes.clone()));
        assert!(scopes.allow(Scope::BillsRead) && !scopes.allow(Scope::FundsRead));
        assert!(Scopes::parse("bills:read funds:*").is_err());
    }
}
