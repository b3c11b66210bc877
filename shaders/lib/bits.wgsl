// Elements of a tensor of f32 where their bits as such count, which are read as integers: a GPU may take what is almost 0 for 0.
#if F16
enable f16;
alias Bits = f16;
fn bitsOf(x: Bits) -> u32 { return bitcast<u32>(f32(x)); }
fn ofBits(bits: u32) -> Bits { return Bits(bitcast<f32>(bits)); }
#else
alias Bits = u32;
fn bitsOf(x: Bits) -> u32 { return x; }
fn ofBits(bits: u32) -> Bits { return bits; }
#end
