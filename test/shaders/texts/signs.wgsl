struct P{
threads:u32,
c:u32,words:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Bits=u32;
fn bitsOf(x:Bits)->u32{return x;}
fn ofBits(bits:u32)->Bits{return bits;}
@group(0)@binding(1)var<storage,read>x:array<Bits>;
@group(0)@binding(2)var<storage,read_write>y:array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let t=thread(id);
if(t>=p.threads){return;}
let first=t%p.words*32u;
let pixel=t/p.words*p.c+first;
var bits=0u;
var magnitude=0.0;
for(var i=0u;i<min(p.c-first,32u);i++){
let v=bitsOf(x[pixel+i]);
bits|=select(0u,1u<<i,v<=0x7f800000u||v==0x80000000u);
magnitude+=abs(bitcast<f32>(v));
}
y[t]=bits;
}
