struct P{
threads:u32,
xo:u32,
yo:u32,
n0:u32,
s0:u32,
t0:u32,
n1:u32,
s1:u32,
t1:u32,
n2:u32,
s2:u32,
t2:u32,
n:u32,
s:u32,
t:u32,
stride:u32,
span:u32,
step:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=u32;
alias Element=Word;
@group(0)@binding(1)var<storage,read>x:array<Element>;
@group(0)@binding(2)var<storage,read_write>y:array<Element>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
var rest=thread(id);
if(rest>=p.threads){return;}
var a=p.xo;
var b=p.yo;
let q0=rest/p.n0;
let i0=rest-q0*p.n0;
a+=i0*p.s0;
b+=i0*p.t0;
rest=q0;
let q1=rest/p.n1;
let i1=rest-q1*p.n1;
a+=i1*p.s1;
b+=i1*p.t1;
rest=q1;
let q2=rest/p.n2;
let i2=rest-q2*p.n2;
a+=i2*p.s2;
b+=i2*p.t2;
rest=q2;
let first=i1*p.stride;
for(var j=first;j<min(p.n,first+p.span);j+=p.step){y[b+j*p.t]=x[a+j*p.s];}
}
