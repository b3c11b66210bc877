enable f16;
struct P{
threads:u32,
n:u32,
inner:u32,
count:u32,
parts:u32,
span:u32,
narrowed:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Bits=f16;
fn bitsOf(x:Bits)->u32{return bitcast<u32>(f32(x));}
fn ofBits(bits:u32)->Bits{return Bits(bitcast<f32>(bits));}
fn ordered(bits:u32)->i32{
let magnitude=i32(bits&0x7fffffffu);
return select(magnitude,-magnitude,bits>=0x80000000u);
}
fn isNaN(bits:u32)->bool{
return(bits&0x7fffffffu)>0x7f800000u;
}
@group(0)@binding(1)var<storage,read>x:array<Bits>;
@group(0)@binding(2)var<storage,read>found:array<u32>;
@group(0)@binding(3)var<storage,read_write>y:array<u32>;
fn valueAt(at:u32)->i32{
let bits=bitsOf(x[at]);
return select(ordered(bits),-0x7fffffff,isNaN(bits));
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let row=i/p.parts;
let first=(i-row*p.parts)*p.span;
let line=row/p.inner*p.n*p.inner+row%p.inner;
var best=-0x7fffffff;
var index=first;
for(var k=first;k<min(first+p.span,p.count);k++){
var at=k;
if(p.narrowed!=0u){at=found[row*p.count+k];}
let value=valueAt(line+at*p.inner);
if(value>best){
best=value;
index=at;
}
}
y[i]=index;
}
