//! The frame: 32 bytes, a tag of a closed set, three numbers. And how often a role may send which.

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tag {
    /// Role to init: undumpable and confined; descriptors may come now.
    Ready = 1,
    /// Fetcher to init, one a secret, in the plan's order: a = index, b = version + 1 or 0, c = set-at or [`NO_TIME`].
    Secret = 2,
    /// Fetcher to init, after a secret's own frame: a = index, b = the lease's seconds, c = 1 if it can be renewed, plus twice
    /// the number of the kept thing that it is, counted from 1, or 0 if nobody keeps it.
    Lease = 6,
    /// Fetcher to init, before the secrets: one thing to keep alive, the token first: a = its number from 0, b = its seconds or
    /// [`NO_END`], c = 1 if it can be renewed. What it is called at the store is in the hidden region and nowhere else.
    Kept = 9,
    /// Keeper to init: renewing the thing a failed, b = seconds left, c = the [`Reason`].
    Late = 10,
    /// Keeper to init: renewing the thing a works again.
    Healed = 11,
    /// Keeper to init: nothing lengthens the thing a any more, b = milliseconds left, c = the [`Reason`].
    Over = 12,
    /// Renewer to keeper: the thing a lasts b seconds from now, or [`NO_END`]; c = 1 if it can be renewed again.
    Renewed = 13,
    /// Renewer to keeper: the thing a was not renewed; b = the [`Reason`].
    Unrenewed = 14,
    /// Renewer to keeper, keeper to init: what was minted is given up; a = 0, or the [`Reason`] why it was not.
    GivenUp = 15,
    /// Fetcher to init in a check, after a secret's own frame: a = index, b = what its policy allows beyond fetching it, as bits.
    Beyond = 7,
    /// Fetcher to init: what the single-use identity file holds was used, or may have been.
    Used = 8,
    /// Fetcher to init: all is written. a = bytes in the pipe, b = on standard input, c = for the environment.
    Bundle = 3,
    /// Launcher to init: the cage stands and was read back. a = 1 if the listener travels with the frame.
    Caged = 4,
    /// Role to init: the start is refused. a = exit code; what and hint are on the log pipe.
    Refused = 5,
    /// Init to fetcher: a = number of descriptors that travel with the frame.
    Give = 16,
    /// Init to fetcher: a command has ended, and well. a = its index.
    Ended = 19,
    /// Init to launcher: the bundle is complete; become the workload.
    Go = 17,
    /// Init to keeper: the end; give up what was minted.
    GiveUp = 18,
}

/// Seconds of what has no end.
pub const NO_END: u64 = u64::MAX;

/// Why something is not renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No conversation with any server of the store, or none that ended.
    Unreachable = 1,
    /// Every server is sealed, a standby, or busy.
    Unavailable = 2,
    /// The store says that the token may not, or no longer.
    Denied = 3,
    /// The store does not know it any more: it was revoked, or is over.
    Lost = 4,
    /// A renewal added no time.
    AtMaximum = 5,
    /// The store gave it for one life.
    NotRenewable = 6,
    /// The renewer died, or broke the protocol.
    Broken = 7,
}

impl Reason {
    const ALL: [Reason; 7] = [
        Reason::Unreachable,
        Reason::Unavailable,
        Reason::Denied,
        Reason::Lost,
        Reason::AtMaximum,
        Reason::NotRenewable,
        Reason::Broken,
    ];

    pub fn from_number(number: u64) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| *reason as u64 == number)
    }
}

/// `set_at` where no store vouches for a time.
pub const NO_TIME: u64 = i64::MIN as u64;

const TAGS: [Tag; 19] = [
    Tag::Ready,
    Tag::Secret,
    Tag::Bundle,
    Tag::Caged,
    Tag::Refused,
    Tag::Lease,
    Tag::Beyond,
    Tag::Used,
    Tag::Kept,
    Tag::Late,
    Tag::Healed,
    Tag::Over,
    Tag::Renewed,
    Tag::Unrenewed,
    Tag::GivenUp,
    Tag::Give,
    Tag::Ended,
    Tag::Go,
    Tag::GiveUp,
];
const MAGIC: u8 = 0xB7;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub tag: Tag,
    pub a: u64,
    pub b: u64,
    pub c: u64,
}

impl Frame {
    pub const SIZE: usize = 32;

    pub fn new(tag: Tag, a: u64, b: u64, c: u64) -> Self {
        Frame { tag, a, b, c }
    }

    pub fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = MAGIC;
        bytes[1] = self.tag as u8;
        bytes[8..16].copy_from_slice(&self.a.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.b.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.c.to_le_bytes());
        bytes
    }

    /// `None` for anything but exactly one well-formed frame.
    pub fn decode(bytes: &[u8]) -> Option<Frame> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().ok()?;
        if bytes[0] != MAGIC || bytes[2..8] != [0; 6] {
            return None;
        }
        let tag = *TAGS.iter().find(|tag| **tag as u8 == bytes[1])?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Some(Frame { tag, a: number(8), b: number(16), c: number(24) })
    }
}

/// How many more frames of each tag a role may send. Anything not listed is a broken protocol.
#[derive(Debug, Clone)]
pub struct Allowance(Vec<(Tag, u32)>);

impl Allowance {
    pub fn fetcher(secrets: usize) -> Self {
        let secrets = u32::try_from(secrets).unwrap_or(u32::MAX);
        let each = [Tag::Secret, Tag::Lease, Tag::Beyond].map(|tag| (tag, secrets));
        let once = [Tag::Ready, Tag::Used, Tag::Bundle, Tag::Refused].map(|tag| (tag, 1));
        // A lease a secret at most, and the token.
        let kept = [(Tag::Kept, secrets.saturating_add(1))];
        Allowance(once.into_iter().chain(each).chain(kept).collect())
    }

    /// `kept`: how many things it keeps. Trouble with the store may come and go as long as the workload lives.
    pub fn keeper(kept: usize) -> Self {
        let kept = u32::try_from(kept).unwrap_or(u32::MAX);
        let once = [Tag::Ready, Tag::Refused, Tag::GivenUp].map(|tag| (tag, 1));
        let often = [(Tag::Over, kept), (Tag::Late, u32::MAX), (Tag::Healed, u32::MAX)];
        Allowance(once.into_iter().chain(often).collect())
    }

    /// `asked`: how many things it was asked to renew; none is the errand of giving up.
    pub fn renewer(asked: usize) -> Self {
        match u32::try_from(asked).unwrap_or(u32::MAX) {
            0 => Allowance(vec![(Tag::GivenUp, 1)]),
            asked => Allowance(vec![(Tag::Renewed, asked), (Tag::Unrenewed, asked)]),
        }
    }

    pub fn launcher() -> Self {
        Allowance(vec![(Tag::Caged, 1), (Tag::Refused, 1)])
    }

    /// Takes one from the tag's allowance; false when there is none left.
    pub fn take(&mut self, tag: Tag) -> bool {
        match self.0.iter_mut().find(|(allowed, _)| *allowed == tag) {
            Some((_, left)) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_wire() {
        for tag in TAGS {
            let frame = Frame::new(tag, 1, u64::MAX, NO_TIME);
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
    }

    #[test]
    fn short_long_and_unknown_frames_are_none() {
        let good = Frame::new(Tag::Bundle, 1, 2, 3).encode();
        assert_eq!(Frame::decode(&good[..31]), None);
        assert_eq!(Frame::decode(&[&good[..], &[0]].concat()), None);
        for (at, value) in [(0, 0), (1, 0), (1, 20), (1, 255), (2, 1), (7, 1)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Frame::decode(&bad), None, "byte {at} = {value}");
        }
    }

    #[test]
    fn each_tag_is_allowed_its_number_of_times_and_no_more() {
        let mut fetcher = Allowance::fetcher(2);
        assert!(fetcher.take(Tag::Ready) && !fetcher.take(Tag::Ready));
        assert!(fetcher.take(Tag::Secret) && fetcher.take(Tag::Secret) && !fetcher.take(Tag::Secret));
        assert!(fetcher.take(Tag::Used) && !fetcher.take(Tag::Used));
        assert!(fetcher.take(Tag::Lease) && fetcher.take(Tag::Lease) && !fetcher.take(Tag::Lease));
        assert!(!fetcher.take(Tag::Caged) && !fetcher.take(Tag::Go) && !fetcher.take(Tag::Give));
        let (mut renewing, mut giving_up) = (Allowance::renewer(1), Allowance::renewer(0));
        assert!(renewing.take(Tag::Renewed) && !renewing.take(Tag::Renewed) && !renewing.take(Tag::GivenUp));
        assert!(giving_up.take(Tag::GivenUp) && !giving_up.take(Tag::GivenUp) && !giving_up.take(Tag::Renewed));
        let mut launcher = Allowance::launcher();
        assert!(launcher.take(Tag::Caged) && !launcher.take(Tag::Caged) && !launcher.take(Tag::Bundle));
    }
}
