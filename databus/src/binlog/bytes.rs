//! A cursor over untrusted bytes: every read is checked, nothing here can panic on any input.

/// What is wrong with the bytes, in words that end up in G7's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The event ends before what it announces.
    #[error("the event is shorter than what it announces")]
    Truncated,
    /// The bytes contradict the documented format.
    #[error("the event is malformed: {0}")]
    Malformed(&'static str),
    /// Well formed, but not something this version decodes.
    #[error("{0}")]
    Unsupported(String),
    /// A row image lacks a column that is not known to be generated.
    #[error("the row image is not FULL: set binlog_row_image=FULL on the source, for every session")]
    PartialImage,
}

/// A bounds-checked little-endian reader.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, tail) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(*first)
    }

    /// `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    /// A little-endian unsigned integer of `n` bytes, `n` at most 8.
    #[inline]
    pub fn uint(&mut self, n: usize) -> Result<u64, DecodeError> {
        if n > 8 {
            return Err(DecodeError::Malformed("an integer of more than 8 bytes"));
        }
        // eight bytes are read at once wherever there are so many, and those too many dropped
        let ahead = self.0.first_chunk().map(|eight| u64::from_le_bytes(*eight));
        let bytes = self.take(n)?;
        Ok(match ahead {
            Some(eight) if n > 0 => eight << (64 - 8 * n) >> (64 - 8 * n),
            _ => bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        })
    }

    /// A big-endian unsigned integer of `n` bytes, `n` at most 8.
    #[inline]
    pub fn uint_be(&mut self, n: usize) -> Result<u64, DecodeError> {
        if n > 8 {
            return Err(DecodeError::Malformed("an integer of more than 8 bytes"));
        }
        let ahead = self.0.first_chunk().map(|eight| u64::from_be_bytes(*eight));
        let bytes = self.take(n)?;
        Ok(match ahead {
            Some(eight) if n > 0 => eight >> (64 - 8 * n),
            _ => bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        })
    }

    /// A length-encoded integer.
    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html>
    pub fn lenenc(&mut self) -> Result<u64, DecodeError> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.uint(2),
            0xfd => self.uint(3),
            0xfe => self.uint(8),
            _ => Err(DecodeError::Malformed("a length that is no length")),
        }
    }

    /// A length-encoded integer that counts or measures something in this event.
    pub fn lenenc_len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.lenenc()?).map_err(|_| DecodeError::Truncated)
    }

    /// A length-encoded string.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.lenenc_len()?;
        self.take(len)
    }

    /// Whether all bytes are read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A bitmap of the row format: bit `i` is bit `i % 8` of byte `i / 8`; bits past the end read as 0.
#[derive(Debug, Clone, Copy)]
pub struct Bitmap<'a>(pub &'a [u8]);

impl Bitmap<'_> {
    /// Bit `i`.
    pub fn get(self, i: usize) -> bool {
        self.0.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)
    }

    /// How many of the first `n` bits are set.
    pub fn count(self, n: usize) -> usize {
        (0..n).filter(|i| self.get(*i)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_the_same_whatever_follows_it() {
        let digits = [0x81, 2, 3, 4, 5, 6, 7, 0x88, 9, 10];
        for n in 0..=8 {
            let exact = Bytes(&digits[..n]);
            let followed = Bytes(&digits);
            let (mut a, mut b) = (exact, followed);
            assert_eq!(a.uint(n), b.uint(n), "{n}");
            assert_eq!(b.0, &digits[n..]);
            let (mut a, mut b) = (exact, followed);
            assert_eq!(a.uint_be(n), b.uint_be(n), "{n}");
        }
        assert_eq!(Bytes(&digits).uint(3), Ok(0x03_0281));
        assert_eq!(Bytes(&digits).uint_be(3), Ok(0x81_0203));
        assert_eq!(Bytes(&digits).uint(8), Ok(0x8807_0605_0403_0281));
    }

    #[test]
    fn reads_past_the_end_are_errors() {
        let mut bytes = Bytes(&[1, 2, 3]);
        assert_eq!(bytes.uint(2), Ok(0x0201));
        assert_eq!(bytes.uint(2), Err(DecodeError::Truncated));
        assert_eq!(bytes.u8(), Ok(3));
        assert_eq!(bytes.u8(), Err(DecodeError::Truncated));
        assert_eq!(Bytes(&[0xfc, 1]).lenenc(), Err(DecodeError::Truncated));
        assert_eq!(Bytes(&[0xfd, 1, 0, 1]).lenenc(), Ok(0x01_0001));
        assert_eq!(Bytes(&[0xfb]).lenenc(), Err(DecodeError::Malformed("a length that is no length")));
        assert!(Bytes(&[0xfe, 255, 255, 255, 255, 255, 255, 255, 255]).lenenc_bytes().is_err());
    }
}
