enable f16;
struct P{
threads:u32,
n:i32,
count:u32,
inner:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=f16;
alias Element=Word;
@group(0)@binding(1)var<storage,read>x:array<Element>;
@group(0)@binding(2)var<storage,read>indices:array<i32>;
@group(0)@binding(3)var<storage,read_write>y:array<Element>;
fn source(at:u32)->u32{
let line=at/p.inner;
let block=line/p.count;
let given=indices[line-block*p.count];
let index=clamp(select(given,given+p.n,given<0),0,p.n-1);
return(block*u32(p.n)+u32(index))*p.inner+at-line*p.inner;
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
y[i]=x[source(i)];
}
