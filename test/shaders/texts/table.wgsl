struct P{
threads:u32,
n:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=u32;
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>table:array<Word>;
@group(0)@binding(3)var<storage,read_write>y:array<Word>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let places=x[i]^0x80808080u;
var word=0u;
for(var shift=0u;shift<32u;shift+=8u){
let place=(places>>shift)&255u;
word|=((table[place/4u]>>(8u*(place%4u)))&255u)<<shift;
}
y[i]=word^0x80808080u;
}
