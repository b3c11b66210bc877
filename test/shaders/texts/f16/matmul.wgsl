enable f16;
struct P{
threads:u32,
m:u32,n:u32,k:u32,
down:u32,across:u32,
d1:u32,d2:u32,stepA0:u32,stepA1:u32,stepA2:u32,stepB0:u32,stepB1:u32,stepB2:u32,
bk:u32,bn:u32,
low:f32,high:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f16;
alias real4=vec4<real>;
fn activated(value:vec4f)->vec4f{
var v=select(value,vec4f(p.low),value<vec4f(p.low));
v=select(v,vec4f(p.high),v>vec4f(p.high));
return v;
}
@group(0)@binding(1)var<storage,read>a:array<real4>;
@group(0)@binding(2)var<storage,read>b:array<real4>;
@group(0)@binding(3)var<storage,read_write>y:array<real4>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let t=thread(id);
if(t>=p.threads){return;}
let column=t%p.across*(4u*2u);
let tile=t/p.across;
let row=tile%p.down*4u;
let batch=tile/p.down;
let i2=batch%p.d2;
let i1=batch/p.d2%p.d1;
let i0=batch/p.d2/p.d1;
let ofA=i0*p.stepA0+i1*p.stepA1+i2*p.stepA2;
let ofB=i0*p.stepB0+i1*p.stepB1+i2*p.stepB2;
let from0=ofA+min(row+0u,p.m-1u)*p.k;
var c0_0=vec4f();
var c0_1=vec4f();
let from1=ofA+min(row+1u,p.m-1u)*p.k;
var c1_0=vec4f();
var c1_1=vec4f();
let from2=ofA+min(row+2u,p.m-1u)*p.k;
var c2_0=vec4f();
var c2_1=vec4f();
let from3=ofA+min(row+3u,p.m-1u)*p.k;
var c3_0=vec4f();
var c3_1=vec4f();
var at0=(ofB+(column+0u*4u)*p.bn)/4u;
var at1=(ofB+(column+1u*4u)*p.bn)/4u;
let next=p.n/4u;
let step=p.n;
for(var k=0u;k<p.k/4u;k++){
let w0=mat4x4f(vec4f(b[at0]),vec4f(b[at0+next]),vec4f(b[at0+2u*next]),vec4f(b[at0+3u*next]));
at0+=step;
let w1=mat4x4f(vec4f(b[at1]),vec4f(b[at1+next]),vec4f(b[at1+2u*next]),vec4f(b[at1+3u*next]));
at1+=step;
let v0=vec4f(a[from0/4u+k]);
c0_0+=w0*v0;
c0_1+=w1*v0;
let v1=vec4f(a[from1/4u+k]);
c1_0+=w0*v1;
c1_1+=w1*v1;
let v2=vec4f(a[from2/4u+k]);
c2_0+=w0*v2;
c2_1+=w1*v2;
let v3=vec4f(a[from3/4u+k]);
c3_0+=w0*v3;
c3_1+=w1*v3;
}
var sums:array<vec4f,4*2>;
sums[0*2+0]=c0_0;
sums[0*2+1]=c0_1;
sums[1*2+0]=c1_0;
sums[1*2+1]=c1_1;
sums[2*2+0]=c2_0;
sums[2*2+1]=c2_1;
sums[3*2+0]=c3_0;
sums[3*2+1]=c3_1;
for(var i=0u;i<4u*2u;i++){
let m=row+i/2u;
let n=column+i%2u*4u;
if(m<p.m&&n<p.n){
let v=activated(sums[i]);
let at=(batch*p.m+m)*p.n+n;
y[at/4u]=real4(v);
}
}
}
