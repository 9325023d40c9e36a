//! Where log lines go: standard output, as long as somebody reads it.
//!
//! On Lambda the platform reads the pipe. Should it ever stop, a plain write would stop the function with it once the pipe is
//! full. So the pipe is asked first, and a line that finds no room within [`LOG_PATIENCE_MILLIS`] is given up; the next one that
//! does finds is told how many were. F-44.

use crate::limits::LOG_PATIENCE_MILLIS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// A pipe that is said to have room takes this much without waiting (`PIPE_BUF`).
const PIECE_BYTES: usize = 4096;

/// Standard output.
pub static STANDARD_OUTPUT: Sink = Sink(Mutex::new(State { lost: 0, torn: false, room: true }));

/// Where lines go.
pub struct Sink(Mutex<State>);

struct State {
    /// Lines that were given up since one got through.
    lost: u64,
    /// Whether the last one got through in part.
    torn: bool,
    /// Whether there was room the last time: if not, nobody waits for it again.
    room: bool,
}

impl Sink {
    /// Writes a line, with its end, or gives it up. A log that can not be written to can not be told of.
    pub fn write_line(&self, line: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(&mut io::stdout().lock(), line);
    }
}

impl State {
    fn write(&mut self, output: &mut (impl Write + AsFd), line: &[u8]) {
        if self.lost > 0 {
            let begin = if self.torn { "\n" } else { "" };
            let lost = self.lost;
            let told = format!("{begin}{{\"level\":\"WARN\",\"message\":\"log lines lost\",\"count\":{lost}}}\n");
            if !self.put(output, told.as_bytes()) {
                self.lost += 1;
                return;
            }
            (self.lost, self.torn) = (0, false);
        }
        let pieces = line.chunks(PIECE_BYTES).enumerate();
        for (index, piece) in pieces {
            if !self.put(output, piece) {
                self.lost += 1;
                self.torn = index > 0;
                return;
            }
        }
    }

    fn put(&mut self, output: &mut (impl Write + AsFd), piece: &[u8]) -> bool {
        let patience = if self.room { LOG_PATIENCE_MILLIS } else { 0 };
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience) * 1_000_000 };
        let mut asked = [PollFd::new(output, PollFlags::OUT)];
        let answered = poll(&mut asked, Some(&patience)).is_ok_and(|ready| ready > 0);
        // Whatever else it says, a closed pipe above all, the write says as well and without waiting.
        self.room = answered;
        answered && output.write_all(piece).and_then(|()| output.flush()).is_ok()
    }
}

/// The sink as subscribers want it; they write each line in one piece.
pub struct Lines(pub &'static Sink);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read};

    fn state() -> State {
        State { lost: 0, torn: false, room: true }
    }

    fn line(number: usize, bytes: usize) -> String {
        format!("{number} {}\n", "x".repeat(bytes))
    }

    /// Reads what is there, which is at least `bytes`.
    fn read(reader: &mut PipeReader, bytes: usize) -> String {
        let mut text = vec![0; bytes];
        reader.read_exact(&mut text).expect("as much as was written");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn f_44_a_pipe_that_nobody_reads_loses_lines_and_the_next_reader_is_told_how_many() {
        for bytes in [500, 5000] {
            let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
            let mut state = state();
            let mut passed = String::new();
            let mut number = 0;
            while state.lost < 100 {
                state.write(&mut writer, line(number, bytes).as_bytes());
                if state.lost == 0 {
                    passed.push_str(&line(number, bytes));
                }
                number += 1;
            }
            assert!(passed.len() > 32 * 1024, "{} bytes", passed.len());
            assert_eq!(read(&mut reader, passed.len()), passed, "what got through is whole");

            let torn = if state.torn {
                line(passed.lines().count(), bytes)[..PIECE_BYTES].to_owned() + "\n"
            } else {
                String::new()
            };
            state.write(&mut writer, b"after\n");
            assert_eq!(state.lost, 0);
            let told = torn + "{\"level\":\"WARN\",\"message\":\"log lines lost\",\"count\":100}\nafter\n";
            assert_eq!(read(&mut reader, told.len()), told);
        }
    }

    #[test]
    fn a_closed_pipe_loses_lines_quietly() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut state = state();
        state.write(&mut writer, b"nobody\n");
        assert_eq!(state.lost, 1);
    }
}
