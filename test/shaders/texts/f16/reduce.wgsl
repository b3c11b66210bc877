enable f16;
struct P{
threads:u32,
n:u32,
inner:u32,
parts:u32,
length:u32,
empty:f32,
scale:f32,
finish:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
fn exp4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-104.0),vec4f(89.0));
let n=round(x*1.44269504);
let r=(x-n*0.693359375)+n*2.12194440e-4;
var y=0.001381455920636654*r+0.008368735201656818;
y=y*r+0.04166838899254799;
y=y*r+0.1666652113199234;
y=y*r+0.4999999403953552;
y=y*(r*r)+r+1.0;
let i=vec4i(n);
let half=i>>vec4u(1u);
return y*bitcast<vec4f>((half+127)<<vec4u(23u))*bitcast<vec4f>((i-half+127)<<vec4u(23u));
}
fn log4(x:vec4f)->vec4f{
let small=x<vec4f(1.17549435e-38);
let scaled=select(x,x*8388608.0,small);
let shift=(bitcast<vec4i>(scaled)-0x3f3504f3)>>vec4u(23u);
let f=bitcast<vec4f>(bitcast<vec4i>(scaled)-(shift<<vec4u(23u)))-1.0;
let e=vec4f(shift+select(vec4i(0),vec4i(-23),small));
let square=f*f;
var y=-0.07634496688842773*f+0.1276157647371292;
y=y*f-0.13160182535648346;
y=y*f+0.14201757311820984;
y=y*f-0.16623356938362122;
y=y*f+0.20001226663589478;
y=y*f-0.2500081956386566;
y=y*f+0.3333333134651184;
y=y*f*square-e*2.12194440e-4-square*0.5;
y=e*0.693359375+(f+y);
return select(log(x),y,(x>vec4f(0.0))&(x<=vec4f(3.40282e38)));
}
fn log1p4(x:vec4f)->vec4f{
let u=x+1.0;
return select(x,log4(u)*(x/(u-1.0)),u>vec4f(1.0));
}
fn tanh4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-9.02),vec4f(9.02));
let z=x*x;
var n=-1.2203366789309555e-11*z+3.058487507701102e-8;
n=n*z+2.8007390938000754e-5;
n=n*z+0.003868324216455221;
n=n*z+0.13679912686347961;
n=n*z+1.0;
var d=1.2873620107711758e-6*z+0.00039386251592077315;
d=d*z+0.02724582515656948;
d=d*z+0.470132440328598;
d=d*z+1.0;
return clamp(x*n/d,vec4f(-1.0),vec4f(1.0));
}
fn erf4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-3.95),vec4f(3.95));
let z=x*x;
var n=-1.2967783402450201e-8*z+4.640583483705996e-6;
n=n*z+0.0003779417311307043;
n=n*z+0.003843357553705573;
n=n*z+0.054274801164865494;
n=n*z+0.18516835570335388;
n=n*z+1.128379225730896;
var d=6.26939072390087e-5*z+0.0013040663907304406;
d=d*z+0.0154437106102705;
d=d*z+0.11391082406044006;
d=d*z+0.4974345862865448;
d=d*z+1.0;
return select(x*n/d,sign(x),abs(x)>=vec4f(3.84));
}
fn expm14(x:vec4f)->vec4f{
let t=tanh4(x*0.5);
return 2.0*t/(1.0-t);
}
fn sine4(x:vec4f,quarters:i32)->vec4f{
let turns=round(x*0.636619772);
let r=((x-turns*1.5703125)-turns*4.837512969970703e-4)-turns*7.549789954891886e-8;
let z=r*r;
let s=r+r*z*(-1.6666654611e-1+z*(8.3321608736e-3-z*1.9515295891e-4));
let c=1.0-0.5*z+z*z*(4.166664568298827e-2+z*(-1.388731625493765e-3+z*2.443315711809948e-5));
let q=vec4i(turns)+quarters;
let y=select(s,c,(q&vec4i(1))==vec4i(1));
return select(y,-y,(q&vec4i(2))==vec4i(2));
}
fn power4(x:vec4f,a:vec4f)->vec4f{
let base=abs(x);
let bits=bitcast<vec4i>(base);
let e=(bits-0x3f3504f3)>>vec4u(23u);
let m=bitcast<vec4f>(bits-(e<<vec4u(23u)));
let s=(m-1.0)/(m+1.0);
let high=bitcast<vec4f>(bitcast<vec4u>(s)&vec4u(0xfffff000u));
let low=((m-1.0)-high*m-high)/(m+1.0);
let z=s*s;
let tail=s*z*(0.961796694+z*(0.577078016+z*(0.412198583+z*0.4342)));
let h=high*2.885742188;
let l=low*2.885390082+high*-3.5210600e-4+tail;
let ah=bitcast<vec4f>(bitcast<vec4u>(a)&vec4u(0xfffff000u));
let al=a-ah;
let big=ah*vec4f(e);
let middle=ah*h;
let n=round(clamp(big+middle,vec4f(-300.0),vec4f(300.0)));
let rest=clamp((big-n)+middle+(al*(vec4f(e)+h)+a*l),vec4f(-2.0),vec4f(2.0));
let i=vec4i(n);
let y=exp4(rest*0.693147181)*bitcast<vec4f>((clamp(i>>vec4u(1u),vec4i(-126),vec4i(127))+127)<<vec4u(23u))
*bitcast<vec4f>((clamp(i-(i>>vec4u(1u)),vec4i(-126),vec4i(127))+127)<<vec4u(23u));
let whole=floor(a)==a;
let odd=whole&(fract(a*0.5)==vec4f(0.5));
let signed=select(y,-y,(x<vec4f(0.0))&odd);
let special=((x<vec4f(0.0))&!whole)|(x==vec4f(0.0));
return select(select(signed,pow(x,a),special),vec4f(1.0),a==vec4f(0.0));
}
alias Given=f16;
alias Result=f16;
@group(0)@binding(1)var<storage,read>x:array<Given>;
@group(0)@binding(2)var<storage,read_write>y:array<Result>;
fn sumOf(s:f32,x:f32)->f32{return s+x;}
fn maxOf(s:f32,x:f32)->f32{return max(s,x);}
fn minOf(s:f32,x:f32)->f32{return min(s,x);}
fn prodOf(s:f32,x:f32)->f32{return s*x;}
fn sumAbsOf(s:f32,x:f32)->f32{return s+abs(x);}
fn sumSquareOf(s:f32,x:f32)->f32{return s+x*x;}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let part=i/p.inner;
let first=part%p.parts*p.length;
let start=(part/p.parts*p.n+first)*p.inner+i%p.inner;
let end=start+min(p.length,p.n-first)*p.inner;
var s=p.empty;
for(var at=start;at<end;at+=p.inner){s=sumOf(s,f32(x[at]));}
s*=p.scale;
if(p.finish==1u){s=sqrt(s);}
if(p.finish==2u){s=log4(vec4f(s)).x;}
y[i]=Result(s);
}
