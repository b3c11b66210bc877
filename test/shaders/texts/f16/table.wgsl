enable f16;
struct P{
threads:u32,
n:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=f16;
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>table:array<Word>;
@group(0)@binding(3)var<storage,read_write>y:array<Word>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let places=x[i]^0x80808080u;
let count=min(4u,p.n-4u*i);
for(var k=0u;k<count;k++){y[4u*i+k]=table[(places>>(8u*k))&255u];}
}
