//! Makes a joined program shorter without changing what it answers: jumps go straight to where they end, and what nothing
//! reaches is left out.
//!
//! `seccompiler` reaches each next rule by a pair of jumps. The kernel runs a new filter once for every call that it knows,
//! and compiles every instruction: a shorter program is a quicker start. Only relative forward jumps exist in classic BPF.

use crate::sys::seccomp::Instruction;

const BPF_CLASS: u16 = 0x07;
const BPF_JMP: u16 = 0x05;
const BPF_RET: u16 = 0x06;
/// Jump always, by `k`.
const BPF_JA: u16 = 0x05;

pub fn shorten(mut program: Vec<Instruction>) -> Vec<Instruction> {
    // From the end, so that what a jump leads to has been straightened itself.
    for at in (0..program.len()).rev() {
        straighten(&mut program, at);
    }
    let reached = reached(&program);
    compact(&program, &reached)
}

fn is_conditional(instruction: &Instruction) -> bool {
    instruction.code & BPF_CLASS == BPF_JMP && instruction.code != BPF_JA
}

fn straighten(program: &mut [Instruction], at: usize) {
    let Instruction { code, jt, jf, k } = program[at];
    if code == BPF_JA {
        program[at].k = (end_of(program, at, k as usize) - at - 1) as u32;
    } else if is_conditional(&program[at]) {
        // Conditional jumps have 8 bits; what is further away stays as it was.
        let short = |offset: u8| u8::try_from(end_of(program, at, offset.into()) - at - 1).unwrap_or(offset);
        let (jt, jf) = (short(jt), short(jf));
        program[at].jt = jt;
        program[at].jf = jf;
    }
}

/// Where a jump by `offset` arrives, through every unconditional jump on the way.
fn end_of(program: &[Instruction], at: usize, offset: usize) -> usize {
    let mut target = at + 1 + offset;
    while let Some(next) = program.get(target).filter(|next| next.code == BPF_JA) {
        target += 1 + next.k as usize;
    }
    target
}

/// The places that an instruction may go to next.
fn successors(instruction: &Instruction, at: usize) -> Vec<usize> {
    if instruction.code == BPF_JA {
        vec![at + 1 + instruction.k as usize]
    } else if is_conditional(instruction) {
        vec![at + 1 + usize::from(instruction.jt), at + 1 + usize::from(instruction.jf)]
    } else if instruction.code & BPF_CLASS == BPF_RET {
        Vec::new()
    } else {
        vec![at + 1]
    }
}

fn reached(program: &[Instruction]) -> Vec<bool> {
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (at, instruction) in program.iter().enumerate() {
        // Jumps lead forward only: whoever could reach this one has been looked at.
        if reached[at] {
            successors(instruction, at).into_iter().for_each(|next| reached[next] = true);
        }
    }
    reached
}

/// Leaves out what is not reached; offsets only shrink.
fn compact(program: &[Instruction], reached: &[bool]) -> Vec<Instruction> {
    let kept_until: Vec<usize> = std::iter::once(0)
        .chain(reached.iter().scan(0, |count, reached| {
            *count += usize::from(*reached);
            Some(*count)
        }))
        .collect();
    let moved = |at: usize, offset: usize| kept_until[at + 1 + offset] - kept_until[at] - 1;
    let mut short = Vec::with_capacity(kept_until[program.len()]);
    for (at, instruction) in program.iter().enumerate().filter(|(at, _)| reached[*at]) {
        let mut instruction = *instruction;
        if instruction.code == BPF_JA {
            instruction.k = moved(at, instruction.k as usize) as u32;
        } else if is_conditional(&instruction) {
            instruction.jt = moved(at, instruction.jt.into()) as u8;
            instruction.jf = moved(at, instruction.jf.into()) as u8;
        }
        short.push(instruction);
    }
    short
}
