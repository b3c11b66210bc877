struct P{
threads:u32,
rowBytes:u32,
bytes:u32,
rowWords:u32,
words:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read_write>y:array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
var word=0u;
for(var j=0u;j<4u;j++){
let row=(i*4u+j)/p.rowBytes;
let at=(i*4u+j)%p.rowBytes;
let byte=at%p.bytes;
let source=x[row*p.rowWords+at/p.bytes*p.words+byte/4u];
word|=((source>>(byte%4u*8u))&255u)<<(j*8u);
}
y[i]=word;
}
