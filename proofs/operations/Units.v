(** * The rounding of every unit

    - [ideal o v r]: what unit [o] would compute without rounding from the operands' computed values;
    - [noise X F o rho]: bounds on the rounding of [o] if operands are at most [X] and [ideal] is at
      most [F], one line for each operation;
    - [unit_rounding]: then every execution of [o] is finite and within [rho] of [ideal].

    Rests on Sums.v and Layers.v. Stands behind the [rounding] of the rules linear, silu, sigmoid,
    gate and add in forward.py, and [extra] of affine and mean nodes in layers.py. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Sums binary32.Layers.
Import ListNotations.
Open Scope R_scope.

Definition ideal (o : operation) (v : nat -> Z) (r : nat -> R) : R :=
  match o with
  | Pixel p => IZR (v p)
  | Linear ws bs => exact_sum (products ws r ++ map Constant bs)
  | Quotient j c => r j / c
  | Mean js => total (map r js) / INR (length js)
  | Sigmoid j => sigmoid (r j)
  | Silu j => silu (r j)
  | Gate i j => r i * r j
  | Add i j => r i + r j
  end.

(** ** Sums *)

(** [E] bounds the rounding of terms of magnitudes [bs] whose sum is at most [F], [P] of them products
    that round, with weights [W] in all and operands up to [X]. *)
Definition sum_noise (bs : list R) (F P W X E : R) : Prop :=
  exists m h c f, Permutation (filter nonzero bs) m /\ descending m /\
  (length m <= h)%nat /\ INR h * u <= / 2 /\ Rmin F (total m) <= f /\ total m + f <= 2 * c /\
  u * roundings c f m P / (1 - INR h * u) + underflow (length m) W X <= E /\ total m + E <= largest.

Lemma sum_rounding l v bs F P W X E : sum l v -> Forall2 (fun t b => magnitude t <= b) l bs ->
  Rabs (exact_sum l) <= F -> total (map products_of l) <= P -> weights l <= W ->
  0 <= X -> (forall w x, In (Product w x) l -> Rabs x <= X) -> sum_noise bs F P W X E ->
  exists p, v = Finite p /\ Rabs (p - exact_sum l) <= E.
Proof.
  intros Hv Hb HF HP HW HX Hx (m & h & c & f & Hm & Hd & Hn & Hh & Hf & Hc & HE & Hl).
  assert (Le : underflow (length m) (weights l) X <= underflow (length m) W X).
  { unfold underflow. apply Rmult_le_compat_l; [apply Rlt_le, eta_pos|]. lra. }
  destruct (layer_rounding l v bs m h X P F c f Hv Hb Hm Hd Hn Hh HX Hx HP HF Hf Hc) as (p & -> & Hp); [lra|].
  exists p. split; [reflexivity|]. lra.
Qed.

(** ** Quotients *)

(** A power of two by which a division is exact. *)
Definition halves (c : R) : bool := if Rle_dec (Rabs c) (/ eta) then scales c else false.

Definition any_quotient_noise (X c : R) : R := (2 * u + u * u) * (X / Rabs c) + eta * (3 * X + 2 / Rabs c + 2).
Definition quotient_noise (X c : R) : R :=
  if halves c then eta * (3 * X + 2 / Rabs c + 2) else any_quotient_noise X c.
Definition quotient_range (X c : R) : Prop := eta < Rabs c /\ 2 * ((X + 1) * (/ Rabs c + 1)) <= largest.

Lemma quotient_rounding x c y X : Rabs x <= X -> quotient_range X c ->
  divides (Finite x) (Finite c) y -> exists p, y = Finite p /\ Rabs (p - x / c) <= any_quotient_noise X c.
Proof.
  intros Hx [Hc Hl] D. assert (Hu := u_pos). assert (He := eta_pos).
  assert (U1 : u <= / 100) by (unfold u; lra). assert (E1 : eta <= / 100) by (unfold eta; lra).
  assert (Cn : c <> 0) by (intros ->; rewrite Rabs_R0 in Hc; lra).
  set (k := / Rabs c) in *. assert (K : 0 < k) by (apply Rinv_0_lt_compat; lra).
  assert (X0 : 0 <= X) by (apply Rle_trans with (2 := Hx), Rabs_pos).
  assert (XK : 0 <= X * k) by (apply Rmult_le_pos; lra).
  assert (Ab : forall t, Rabs (t / c) = Rabs t * k).
  { intros t. unfold Rdiv, k. rewrite Rabs_mult, Rabs_inv. reflexivity. }
  assert (N : any_quotient_noise X c = (2 * u + u * u) * (X * k) + eta * (3 * X + 2 * k + 2)) by reflexivity.
  rewrite N. clear N.
  destruct D as [D|(i & Di & D)].
  - destruct (D x c eq_refl eq_refl Hc) as (x' & Rx & Hv).
    assert (A := reads_abs _ _ Rx). assert (B := reads_error _ _ Rx).
    assert (Q : Rabs x' * k <= X * k) by (apply Rmult_le_compat_r; lra).
    destruct Hv as (p & -> & Hp); [rewrite Ab; lra|]. exists p. split; [reflexivity|].
    rewrite Ab in Hp. replace (p - x / c) with ((p - x' / c) + (x' - x) / c) by (field; exact Cn).
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite (Ab (x' - x)).
    assert (Rabs (x' - x) * k <= eta * k) by (apply Rmult_le_compat_r; lra).
    assert (u * (Rabs x' * k) <= u * (X * k)) by (apply Rmult_le_compat_l; lra).
    assert (0 <= u * u * (X * k)) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra).
    assert (0 <= u * (X * k)) by (apply Rmult_le_pos; lra).
    assert (0 <= eta * X) by (apply Rmult_le_pos; lra).
    assert (0 <= eta * k) by (apply Rmult_le_pos; lra). lra.
  - destruct (Di 1 c eq_refl eq_refl Hc) as (o & Ro & Hi).
    assert (o = 1) as -> by (destruct Ro as [->|[_ Ro]]; [reflexivity|rewrite Rabs_R1 in Ro; lra]).
    assert (A1 := Ab 1). rewrite Rabs_R1, Rmult_1_l in A1.
    destruct Hi as (r & -> & Hr); [rewrite A1; lra|]. rewrite A1 in Hr.
    assert (uk : u * k <= / 100 * k) by (apply Rmult_le_compat_r; lra).
    assert (r1 : Rabs r <= 1.01 * k + 0.01).
    { replace r with ((r - 1 / c) + 1 / c) by ring. apply Rle_trans with (1 := Rabs_triang _ _). rewrite A1. lra. }
    destruct (D x r eq_refl eq_refl) as (x' & r' & Rx & Rr & Hv).
    destruct (reads_product _ _ _ _ Rx Rr) as [Q1 Q2].
    assert (Q3 : Rabs (x * r - x / c) <= X * (u * k + eta)).
    { replace (x * r - x / c) with (x * (r - 1 / c)) by (field; exact Cn). rewrite Rabs_mult.
      apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|exact Hx|exact Hr]. }
    assert (Q4 : Rabs (x * r) <= X * k + X * (u * k + eta)).
    { replace (x * r) with ((x * r - x / c) + x / c) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
      rewrite (Ab x). assert (Rabs x * k <= X * k) by (apply Rmult_le_compat_r; lra). lra. }
    assert (Xu : X * (u * k) <= / 100 * (X * k)).
    { replace (X * (u * k)) with (u * (X * k)) by ring. apply Rmult_le_compat_r; lra. }
    assert (Xe : X * eta <= / 100 * X) by (rewrite Rmult_comm; apply Rmult_le_compat_r; lra).
    destruct Hv as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - x / c) with ((p - x' * r') + ((x' * r' - x * r) + (x * r - x / c))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). assert (T := Rabs_triang (x' * r' - x * r) (x * r - x / c)).
    assert (u * Rabs (x' * r') <= u * (X * k + X * (u * k + eta))) by (apply Rmult_le_compat_l; lra).
    assert (eta * (Rabs x + Rabs r) <= eta * (X + (1.01 * k + 0.01))) by (apply Rmult_le_compat_l; lra).
    assert (u * (X * eta) <= / 100 * (X * eta)) by (apply Rmult_le_compat_r; [apply Rmult_le_pos|]; lra).
    assert (0 <= eta * k) by (apply Rmult_le_pos; lra). assert (0 <= eta * X) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma halving_rounding x c y X : Rabs x <= X -> quotient_range X c ->
  divides_by c (Finite x) y -> exists p, y = Finite p /\ Rabs (p - x / c) <= quotient_noise X c.
Proof.
  intros Hx Hr [D E]. unfold quotient_noise, halves. destruct (Rle_dec (Rabs c) (/ eta)) as [L|_]; [|now apply quotient_rounding].
  destruct (scales c) eqn:S; [|now apply quotient_rounding]. destruct Hr as [Hc Hl]. assert (He := eta_pos).
  destruct (E (scales_power c S) (conj Hc L) x eq_refl) as (x' & Rx & Hv). clear D E.
  assert (A := reads_abs _ _ Rx). assert (B := reads_error _ _ Rx).
  assert (Cn : c <> 0) by (intros ->; rewrite Rabs_R0 in Hc; lra).
  set (k := / Rabs c) in *. assert (K : 0 < k) by (apply Rinv_0_lt_compat; lra).
  assert (X0 : 0 <= X) by (apply Rle_trans with (2 := Hx), Rabs_pos).
  assert (XK : 0 <= X * k) by (apply Rmult_le_pos; lra).
  assert (Ab : forall t, Rabs (t / c) = Rabs t * k).
  { intros t. unfold Rdiv, k. rewrite Rabs_mult, Rabs_inv. reflexivity. }
  assert (Q : Rabs x' * k <= X * k) by (apply Rmult_le_compat_r; lra).
  destruct Hv as (p & -> & Hp); [rewrite Ab; lra|]. exists p. split; [reflexivity|].
  replace (p - x / c) with ((p - x' / c) + (x' - x) / c) by (field; exact Cn).
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite (Ab (x' - x)). unfold Rdiv at 2. fold k.
  assert (Rabs (x' - x) * k <= eta * k) by (apply Rmult_le_compat_r; lra).
  assert (0 <= eta * X) by (apply Rmult_le_pos; lra). assert (0 <= eta * k) by (apply Rmult_le_pos; lra).
  change (2 / Rabs c) with (2 * k). lra.
Qed.

(** ** All operations *)

Definition near (X : R) : Prop := X <= / 2 ^ 6.
Definition at_zero (X : R) : Prop := X <= / 2 ^ 27.

Definition noise (X : nat -> R) (F : R) (o : operation) (rho : R) : Prop :=
  match o with
  | Pixel _ => 0 <= rho
  | Linear ws bs => exists Xm, 0 <= Xm /\ (forall j, In j (map snd ws) -> X j <= Xm) /\
      let ps := map (fun wj => Rabs (fst wj) * X (snd wj)) ws in
      let rs := map (fun wj => if scales (fst wj) then 0 else Rabs (fst wj) * X (snd wj)) ws in
      sum_noise (ps ++ map Rabs bs) F (total rs) (total (map (fun wj => Rabs (fst wj)) ws)) Xm rho
  | Quotient j c => quotient_range (X j) c /\ quotient_noise (X j) c <= rho
  | Mean js => exists E, let n := INR (length js) in let S := n * F + E in
      sum_noise (map X js) (n * F) 0 0 0 E /\ quotient_range S n /\ quotient_noise S n + E / n <= rho
  | Sigmoid j => 4 * u <= rho \/ near (X j) /\ 2 * u <= rho \/ at_zero (X j) /\ u / 16 <= rho
  | Silu j => 6 * u * X j + eta <= rho \/ near (X j) /\ 3 * u * X j + eta <= rho \/
              at_zero (X j) /\ u / 16 * X j + eta <= rho
  | Gate i j => X i * X j <= largest /\ u * (X i * X j) + eta * (X i + X j + 1) <= rho
  | Add i j => X i + X j <= largest /\ u * (X i + X j) + 3 * eta <= rho
  end.

Lemma product_terms X ws bs (r : nat -> R) : (forall j, In j (map snd ws) -> Rabs (r j) <= X j) ->
  let ps := map (fun wj => Rabs (fst wj) * X (snd wj)) ws in
  let rs := map (fun wj => if scales (fst wj) then 0 else Rabs (fst wj) * X (snd wj)) ws in
  let l := products ws r ++ map Constant bs in
  Forall2 (fun t b => magnitude t <= b) l (ps ++ map Rabs bs) /\
  total (map products_of l) <= total rs /\ weights l <= total (map (fun wj => Rabs (fst wj)) ws).
Proof.
  intros H ps rs l.
  assert (B : Forall2 (fun t b => magnitude t <= b) (map Constant bs) (map Rabs bs) /\
              total (map products_of (map Constant bs)) = 0 /\ weights (map Constant bs) = 0).
  { unfold weights. clear. induction bs as [|b bs (IH1 & IH2 & IH3)]; simpl; [repeat split; constructor|].
    repeat split; [constructor; [apply Rle_refl|exact IH1]| |]; unfold total in *; lra. }
  destruct B as (B1 & B2 & B3). unfold l, ps, rs, weights, products in *. clear l ps rs.
  induction ws as [|[w j] ws IH]; simpl.
  - repeat split; [exact B1| |]; unfold total in *; lra.
  - destruct IH as (IH1 & IH2 & IH3); [intros; apply H; now right|].
    assert (K : Rabs (w * r j) <= Rabs w * X j).
    { rewrite Rabs_mult. apply Rmult_le_compat_l; [apply Rabs_pos|]. apply H. now left. }
    repeat split.
    + constructor; [exact K|exact IH1].
    + unfold total in *. unfold magnitude at 1. simpl. destruct scales; lra.
    + unfold total in *. assert (P := Rabs_pos w). destruct (nonzero (magnitude (Product w (r j)))); lra.
Qed.

Lemma constant_terms X (js : list nat) (r : nat -> R) : (forall j, In j js -> Rabs (r j) <= X j) ->
  let l := map (fun j => Constant (r j)) js in
  Forall2 (fun t b => magnitude t <= b) l (map X js) /\
  total (map products_of l) = 0 /\ weights l = 0 /\ exact_sum l = total (map r js).
Proof.
  intros H l. unfold l, weights, exact_sum in *. clear l.
  induction js as [|j js IH]; simpl; [repeat split; constructor|].
  destruct IH as (I1 & I2 & I3 & I4); [intros; apply H; now right|].
  assert (K := H j (or_introl eq_refl)). unfold total in *. repeat split; [constructor; [exact K|exact I1]|lra|lra|lra].
Qed.

Theorem unit_rounding o v x r X F rho y :
  (forall j, In j (operands o) -> x j = Finite (r j) /\ Rabs (r j) <= X j) ->
  Rabs (ideal o v r) <= F -> noise X F o rho -> performs o v x y ->
  exists p, y = Finite p /\ Rabs (p - ideal o v r) <= rho.
Proof.
  assert (Hu := u_pos). assert (He := eta_pos).
  destruct o as [q|ws bs|j c|js|j|j|i j|i j]; cbn [operands noise performs ideal]; intros Hx HF Hn Hy.
  - exists (IZR (v q)). split; [exact Hy|]. now rewrite Rminus_diag_eq, Rabs_R0.
  - destruct Hn as (Xm & Xp & HXm & Hn).
    destruct (product_terms X ws bs r (fun j Hj => proj2 (Hx j Hj))) as (T1 & T2 & T3).
    apply (sum_rounding _ y _ F _ _ Xm rho (Hy r (fun j Hj => proj1 (Hx j Hj))) T1 HF T2 T3 Xp); [|exact Hn].
    intros w z Hz. apply in_app_or in Hz. destruct Hz as [Hz|Hz]; apply in_map_iff in Hz.
    + destruct Hz as ([w' j] & [= -> <-] & Hj). assert (In j (map snd ws)) by (apply in_map_iff; now exists (w, j)).
      apply Rle_trans with (X j); [now apply Hx|now apply HXm].
    + now destruct Hz as (b & ? & _).
  - destruct Hn as [Hr Hn]. destruct (Hx j (or_introl eq_refl)) as [E B]. rewrite E in Hy.
    destruct (halving_rounding _ _ _ _ B Hr Hy) as (p & -> & Hp). exists p. split; [reflexivity|]. lra.
  - destruct Hn as (E & Hs & Hr & Hn). destruct (Hy r (fun j Hj => proj1 (Hx j Hj))) as (s & Ss & Ds).
    destruct (constant_terms X js r (fun j Hj => proj2 (Hx j Hj))) as (T1 & T2 & T3 & T4).
    assert (Np : 0 < INR (length js)).
    { destruct Hr as [Hc _]. rewrite Rabs_pos_eq in Hc by apply pos_INR. lra. }
    assert (Wh : Rabs (total (map r js)) <= INR (length js) * F).
    { replace (total (map r js)) with (INR (length js) * (total (map r js) / INR (length js))) by (field; lra).
      rewrite Rabs_mult, (Rabs_pos_eq (INR (length js))) by lra. apply Rmult_le_compat_l; [lra|exact HF]. }
    destruct (sum_rounding _ s _ (INR (length js) * F) 0 0 0 E Ss T1 ltac:(now rewrite T4) ltac:(lra) ltac:(lra) ltac:(lra)) as (t & -> & Ht); [|exact Hs|].
    { intros w z Hz. apply in_map_iff in Hz. now destruct Hz as (b & ? & _). }
    rewrite T4 in Ht. assert (Bt : Rabs t <= INR (length js) * F + E).
    { replace t with ((t - total (map r js)) + total (map r js)) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). lra. }
    destruct (halving_rounding _ _ _ _ Bt Hr Ds) as (p & -> & Hp). exists p. split; [reflexivity|].
    replace (p - total (map r js) / INR (length js)) with
      ((p - t / INR (length js)) + (t - total (map r js)) * / INR (length js)) by (field; lra).
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite (Rabs_mult (t - _)), (Rabs_pos_eq (/ _)) by (apply Rlt_le, Rinv_0_lt_compat, Np).
    assert (Rabs (t - total (map r js)) * / INR (length js) <= E / INR (length js))
      by (apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat, Np|exact Ht]). lra.
  - destruct (Hx j (or_introl eq_refl)) as [E B]. destruct (Hy (r j) E) as (p & -> & Hf & Hnear & Hzero).
    exists p. split; [reflexivity|]. destruct Hn as [Hn|[[Nn Hn]|[Nn Hn]]]; [lra| |].
    + unfold near in Nn. specialize (Hnear ltac:(lra)). lra.
    + unfold at_zero in Nn. specialize (Hzero ltac:(lra)). lra.
  - destruct (Hx j (or_introl eq_refl)) as [E B]. destruct (Hy (r j) E) as (p & -> & Hf & Hnear & Hzero).
    exists p. split; [reflexivity|]. assert (u * Rabs (r j) <= u * X j) by (apply Rmult_le_compat_l; lra).
    destruct Hn as [Hn|[[Nn Hn]|[Nn Hn]]]; [lra| |].
    + unfold near in Nn. specialize (Hnear ltac:(lra)). lra.
    + unfold at_zero in Nn. specialize (Hzero ltac:(lra)). lra.
  - destruct Hn as [Hl Hn]. destruct (Hx i ltac:(simpl; auto)) as [Ei Bi]. destruct (Hx j ltac:(simpl; auto)) as [Ej Bj].
    destruct (Hy (r i) (r j) Ei Ej) as (a & b & Ra & Rb & Hv).
    destruct (reads_product _ _ _ _ Ra Rb) as [D A].
    assert (P : Rabs (r i * r j) <= X i * X j) by (rewrite Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; assumption).
    destruct Hv as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - r i * r j) with ((p - a * b) + (a * b - r i * r j)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (a * b) <= u * (X i * X j)) by (apply Rmult_le_compat_l; lra).
    assert (eta * (Rabs (r i) + Rabs (r j)) <= eta * (X i + X j)) by (apply Rmult_le_compat_l; lra). lra.
  - destruct Hn as [Hl Hn]. destruct (Hx i ltac:(simpl; auto)) as [Ei Bi]. destruct (Hx j ltac:(simpl; auto)) as [Ej Bj].
    destruct (Hy (r i) (r j) Ei Ej) as (a & b & Ra & Rb & Hv).
    assert (Aa := reads_abs _ _ Ra). assert (Ab := reads_abs _ _ Rb).
    assert (Da := reads_error _ _ Ra). assert (Db := reads_error _ _ Rb). assert (T := Rabs_triang a b).
    destruct Hv as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - (r i + r j)) with ((p - (a + b)) + ((a - r i) + (b - r j))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). assert (T2 := Rabs_triang (a - r i) (b - r j)).
    assert (u * Rabs (a + b) <= u * (X i + X j)) by (apply Rmult_le_compat_l; lra). lra.
Qed.
